import type { TestResult } from "./junit.ts";
import type { StageResult } from "./stage.ts";

/** How many tests of a run ended in which way. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function countResults(results: readonly TestResult[]): Counts {
  const count = (status: TestResult["status"]) => results.filter((result) => result.status === status).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
}

export interface Verdict {
  /** for people; the last line is the counts alone */
  readonly lines: readonly string[];
  readonly exitCode: 0 | 1;
}

/**
 * The verdict of a run. It fails when a test failed, when none passed, or, with `skipsFail`, when one was skipped.
 * `notRun` are the stages that did not run.
 */
export function formatVerdict(
  stages: readonly StageResult[],
  notRun: readonly string[],
  options: { readonly skipsFail: boolean },
): Verdict {
  const all = stages.flatMap((stage) => stage.results);
  const counts = countResults(all);
  const skips = all.filter((result) => result.status === "skipped");
  const failures = all.filter((result) => result.status === "failed");
  const failed = failures.length > 0 || counts.passed === 0 || (options.skipsFail && skips.length > 0);
  return {
    exitCode: failed ? 1 : 0,
    lines: [
      "",
      ...stages.map(formatStage),
      ...notRun.map((name) => `  ${name.padEnd(12)} not run`),
      ...section(
        "slowest tests",
        slowest(all).map((result) => `${formatSeconds(result.durationMs)}  ${result.name}`),
      ),
      ...section("skipped", skips.map(formatResult)),
      ...section("failed", failures.map(formatResult)),
      ...(options.skipsFail && skips.length > 0 ? ["", "with CI=true a skipped test is a failure"] : []),
      "",
      `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
    ],
  };
}

function formatStage(stage: StageResult): string {
  const { passed, failed, skipped } = countResults(stage.results);
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return `  ${stage.stage.padEnd(12)} ${formatSeconds(stage.durationMs)}  ${parts.join(", ")}`;
}

/** e.g. "   4.2 s" */
export function formatSeconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1).padStart(6)} s`;
}

function slowest(results: readonly TestResult[]): TestResult[] {
  return results
    .filter((result) => result.durationMs >= 500)
    .toSorted((a, b) => b.durationMs - a.durationMs)
    .slice(0, 8);
}

function formatResult(result: TestResult): string {
  const [why = ""] = (result.why ?? "").split("\n");
  return why === "" ? result.name : `${result.name}: ${why}`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", `${title}:`, ...lines.map((line) => `  ${line}`)];
}
