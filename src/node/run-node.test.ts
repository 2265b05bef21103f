import { expect, test } from "bun:test";
import { FakeHost } from "../../test/fake-host.ts";
import { MAX_REQUEST_BYTES } from "./requests.ts";
import { readRequest, runNode } from "./run-node.ts";

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

test("the request is the first line, however it is cut; the end of the input closes", async () => {
  const { line, closed } = await readRequest(chunks('{"a"', ":1}\nrest", "more"));
  expect(line).toBe('{"a":1}');
  await closed;
  expect((await readRequest(chunks("no newline"))).line).toBe("no newline");
  expect((await readRequest(chunks())).line).toBe("");
});

test("an endless request is refused", async () => {
  const host = new FakeHost();
  const lines: string[] = [];
  const input = chunks("x".repeat(MAX_REQUEST_BYTES), "x", "\n");
  expect(await runNode("apply", { host, input, write: (text) => lines.push(text) })).toBe(1);
  expect(JSON.parse(lines.join(""))).toEqual({ type: "failed", message: "the request is too long" });
});

test("a refused request says where it is malformed and never what stood there", async () => {
  const host = new FakeHost();
  const lines: string[] = [];
  const secret = "s3cr3t".repeat(8);
  const request = {
    goal: { phase: "join", spec: {}, members: [secret], expected: [] },
    dryRun: "no",
    storeToken: secret,
  };
  const input = chunks(`${JSON.stringify(request)}\n`);
  expect(await runNode("apply", { host, input, write: (text) => lines.push(text) })).toBe(1);
  expect(lines.join("")).toContain("dryRun");
  expect(lines.join("")).not.toContain(secret);
  expect(host.log).toEqual([]);
});
