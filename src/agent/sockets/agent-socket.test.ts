import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentLineSchema, type AgentLine } from "../../model/agent-protocol.ts";
import { systemFiles } from "../../system/files.ts";
import { startAgentSocket, type AgentSocket } from "./agent-socket.ts";

let folder: string;
let path: string;
let socket: AgentSocket;

const STATE = { self: "a", networks: [], servers: [], unreachable: [], ready: false };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "jiji-agent-"));
  path = join(folder, "agent.sock");
  chmodSync(folder, 0o750);
  socket = await startAgentSocket({ path, files: systemFiles, group: "root", tickMs: 5 });
});

afterEach(async () => {
  await socket.close();
  rmSync(folder, { recursive: true });
});

async function* linesOf(): AsyncGenerator<AgentLine> {
  const connection = connect(path);
  let rest = "";
  for await (const chunk of connection) {
    const parts = (rest + String(chunk)).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield agentLineSchema.parse(JSON.parse(part));
  }
}

test("only root and the group may connect", () => {
  expect(statSync(path).mode & 0o777).toBe(0o660);
});

test("the state comes first, then ticks while nothing changes, then every change", async () => {
  socket.publish(STATE);
  const seen: string[] = [];
  for await (const line of linesOf()) {
    const text = line.type === "state" ? `state ${String(line.ready)}` : line.type;
    if (text !== "tick" || seen.at(-1) !== "tick") seen.push(text);
    if (seen.length === 2) socket.publish({ ...STATE, ready: true });
    if (seen.length === 4) socket.tellNews([{ serverId: "b", n: 0, record: "{}" }]);
    if (seen.includes("news")) break;
  }
  expect(seen).toEqual(["state false", "tick", "state true", "tick", "news"]);
});

test("an equal state is not said again", async () => {
  socket.publish(STATE);
  let states = 0;
  let ticks = 0;
  for await (const line of linesOf()) {
    if (line.type === "state") states++;
    else ticks++;
    socket.publish({ ...STATE });
    if (ticks === 3) break;
  }
  expect(states).toBe(1);
});

test("nobody is told anything before the state is known", async () => {
  const first = linesOf().next();
  socket.tellNews([{ serverId: "b", n: 0, record: "{}" }]);
  await Bun.sleep(20);
  socket.publish(STATE);
  expect((await first).value).toMatchObject({ type: "state" });
});

test("a reader that does not read is dropped, and the others are not held up", async () => {
  socket.publish(STATE);
  const stuck = connect(path);
  await new Promise<void>((resolve) => stuck.once("connect", resolve));
  stuck.pause();
  const record = "x".repeat(100_000);
  const closed = new Promise<void>((resolve) => stuck.once("close", () => resolve()));
  let news = 0;
  for await (const line of linesOf()) {
    if (line.type === "news") news++;
    socket.tellNews([{ serverId: "b", n: 0, record }]);
    if (news === 100) break;
  }
  stuck.resume();
  await closed;
});
