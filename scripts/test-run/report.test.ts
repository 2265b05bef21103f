import { expect, test } from "bun:test";
import type { TestResult } from "./junit.ts";
import { formatVerdict } from "./report.ts";
import type { StageResult } from "./stage.ts";

function stage(name: string, ...statuses: TestResult["status"][]): StageResult {
  const results = statuses.map((status, index) => ({
    name: `${name} ${index}`,
    status,
    durationMs: 5,
    why: "because",
  }));
  return { stage: name, durationMs: 1234, results };
}

const lax = { skipsFail: false };
const strict = { skipsFail: true };

test("the last line is the counts alone", () => {
  const verdict = formatVerdict([stage("unit", "passed", "passed"), stage("e2e", "skipped")], [], lax);
  expect(verdict.lines.at(-1)).toBe("2 passed, 0 failed, 1 skipped");
  expect(verdict.exitCode).toBe(0);
  expect(verdict.lines).toContain("  e2e 0: because");
});

test("a failure fails, and what did not run is said", () => {
  const verdict = formatVerdict([stage("lint", "failed")], ["unit"], lax);
  expect(verdict).toMatchObject({ exitCode: 1 });
  expect(verdict.lines.join("\n")).toMatch(/unit +not run/);
  expect(verdict.lines.at(-1)).toBe("0 passed, 1 failed, 0 skipped");
});

test("where skips count, a skip fails", () => {
  const stages = [stage("unit", "passed", "skipped")];
  expect(formatVerdict(stages, [], lax).exitCode).toBe(0);
  expect(formatVerdict(stages, [], strict).exitCode).toBe(1);
  expect(formatVerdict([stage("unit", "passed")], [], strict).exitCode).toBe(0);
});

test("a run in which nothing passed fails", () => {
  expect(formatVerdict([], [], lax).exitCode).toBe(1);
  expect(formatVerdict([stage("unit", "skipped")], [], lax).exitCode).toBe(1);
});
