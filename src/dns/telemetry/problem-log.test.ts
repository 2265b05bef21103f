import { expect, test } from "bun:test";
import { systemClock } from "../../system/clock.ts";
import { ProblemLog } from "./problem-log.ts";

test("each kind of problem is said once a minute, then with how often it was seen", () => {
  const state = { nowMs: 0 };
  const lines: string[] = [];
  const log = { info: (line: string) => void lines.push(line), warn: (line: string) => void lines.push(line) };
  const problems = new ProblemLog(log, { ...systemClock, monotonicMs: () => state.nowMs });
  for (let i = 0; i < 1_000; i++) {
    state.nowMs = i * 59;
    problems.warn("row", "a row cannot be read");
    problems.notice("in step", "in step");
  }
  expect(lines).toEqual(["a row cannot be read", "in step"]);
  state.nowMs = 60_000;
  problems.warn("row", "another row cannot be read");
  problems.warn("junk", "a packet answers no question");
  expect(lines.slice(2)).toEqual([
    "another row cannot be read (and 999 times since the last line)",
    "a packet answers no question",
  ]);
});
