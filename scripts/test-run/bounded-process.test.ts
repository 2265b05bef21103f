import { expect, test } from "bun:test";
import { waitFor } from "../../lab/wait.ts";
import { runBounded } from "./bounded-process.ts";

test("output of both streams, exit code, environment, no standard input", async () => {
  const ended = await runBounded(["sh", "-c", 'cat; echo "out $WORD"; echo err >&2; exit 3'], {
    timeoutMs: 10_000,
    env: { WORD: "x" },
  });
  expect(ended).toMatchObject({ code: 3, timedOut: false });
  expect(ended.output).toContain("out x\n");
  expect(ended.output).toContain("err\n");
});

test("at the end of its time a program may tidy up", async () => {
  const ended = await runBounded(["sh", "-c", "trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.01; done"], {
    timeoutMs: 200,
  });
  expect(ended.timedOut).toBe(true);
  expect(ended.output).toContain("tidy");
});

test("one that does not end is killed with its whole group", async () => {
  const ended = await runBounded(["sh", "-c", "trap '' TERM; sleep 300 & echo child $!; wait; sleep 300"], {
    timeoutMs: 100,
    graceMs: 100,
  });
  expect(ended).toMatchObject({ code: 137, timedOut: true });
  await waitForEnd(ended.output);
});

test("one that takes more memory than allowed is killed", async () => {
  const grow = "const held = []; setInterval(() => held.push(Buffer.alloc(16_000_000, 1)), 40)";
  const ended = await runBounded([process.execPath, "-e", grow], { timeoutMs: 15_000, maxMegabytes: 150 });
  expect(ended).toMatchObject({ code: 137, outgrew: true, timedOut: false });
});

test("what a program leaves behind in its group ends with it", async () => {
  const ended = await runBounded(["sh", "-c", "sleep 300 & echo child $!"], { timeoutMs: 10_000 });
  expect(ended.code).toBe(0);
  await waitForEnd(ended.output);
});

/** A killed process may stay as a zombie until its new parent has looked. */
async function waitForEnd(output: string): Promise<void> {
  const pid = /child (\d+)/.exec(output)?.[1];
  if (pid === undefined) throw new Error(`no child in ${output}`);
  const hasEnded = () => {
    const state = Bun.spawnSync(["ps", "-o", "stat=", "-p", pid]).stdout.toString().trim();
    return state === "" || state.startsWith("Z");
  };
  await waitFor(hasEnded, { timeoutMs: 3_000, what: `the end of process ${pid}` });
}
