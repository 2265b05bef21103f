import { expect, test } from "bun:test";
import { afterMarker, MarkerMissing } from "./answer-marker.ts";
import { startSsh } from "./ssh-process.ts";

async function* given(...lines: string[]): AsyncGenerator<string> {
  yield* lines;
}

async function behindMarker(...lines: string[]): Promise<string[]> {
  const answer: string[] = [];
  for await (const line of afterMarker(given(...lines))) answer.push(line);
  return answer;
}

test("what a login shell says before the marker is no part of the answer", async () => {
  expect(await behindMarker("Welcome", '{"type":"done"}', "no end", "jiji:begin", "a", "", "jiji:begin")).toEqual([
    "a",
    "",
    "jiji:begin",
  ]);
  expect(await behindMarker("jiji:begin")).toEqual([]);
});

test("an answer without the marker is an error, never an empty answer", async () => {
  for (const lines of [[], ["{}"], [" jiji:begin"], ["xjiji:begin"], ["jiji:begin x"]]) {
    expect(behindMarker(...lines)).rejects.toThrow(MarkerMissing);
  }
});

test("a session's end is seen although nobody reads its output, and although a child holds its streams", async () => {
  const started = performance.now();
  const unread = startSsh("sh", ["-c", "echo said; exit 3"]);
  expect((await unread.exited).code).toBe(3);
  const killed = startSsh("sh", ["-c", "yes & sleep 60"]);
  await Bun.sleep(100);
  killed.kill();
  expect((await killed.exited).lost).toBe(true);
  expect(performance.now() - started).toBeLessThan(5_000);
});

test("a killed session leaves no program of its group, a jump host's ssh for one", async () => {
  const session = startSsh("sh", ["-c", "sleep 60 & echo $!; wait"]);
  const first = await session.lines[Symbol.asyncIterator]().next();
  const pid = Number(first.value);
  session.kill();
  await session.exited;
  await Bun.sleep(50);
  const state = await Bun.file(`/proc/${pid}/stat`)
    .text()
    .catch(() => "gone) Z");
  expect(state).toMatch(/\) Z/);
});
