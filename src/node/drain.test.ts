import { expect, test } from "bun:test";
import { callNode } from "../../test/node-call.ts";
import type { AgentAnswer, AgentRequest } from "../model/agent-control.ts";
import { runNodeDrain } from "./drain.ts";

const ID = "a".repeat(64);

async function drain(
  request: unknown,
  answer: AgentAnswer | Error,
): Promise<{ lines: readonly object[]; asked: AgentRequest[] }> {
  const asked: AgentRequest[] = [];
  const { code, lines } = await callNode("drain", request, (checked, call) =>
    runNodeDrain(checked, call, async (sent) => {
      asked.push(sent);
      if (answer instanceof Error) throw answer;
      return answer;
    }),
  );
  expect(code).toBe(lines.some((line) => "type" in line && line.type === "drained") ? 0 : 1);
  return { lines, asked };
}

test("asks the agent and says what it did", async () => {
  const answer = { type: "drained" as const, containerId: ID, name: "api-1", isDraining: true };
  const { lines, asked } = await drain({ container: ID, undo: false }, answer);
  expect(lines).toEqual([answer]);
  expect(asked).toEqual([{ type: "drain", container: ID, undo: false }]);
});

test("an agent that refuses, is away, or says something else; a container that is not given by its whole id", async () => {
  const refused = await drain({ container: ID, undo: true }, { type: "refused", why: "no such", candidates: [] });
  expect(refused.lines).toEqual([{ type: "failed", message: "no such" }]);
  const away = await drain({ container: ID, undo: true }, new Error("connect ENOENT"));
  expect(away.lines).toMatchObject([
    { message: "its agent could not be asked: connect ENOENT", hint: "systemctl status jiji-agent on that server" },
  ]);
  expect((await drain({ container: ID, undo: true }, { type: "asked" })).lines).toMatchObject([{ type: "failed" }]);
  expect((await drain({ container: "abc", undo: false }, { type: "asked" })).asked).toEqual([]);
});
