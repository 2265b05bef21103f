import { join } from "node:path";
import { repository, runBounded } from "./bounded-process.ts";
import type { TestResult } from "./junit.ts";
import type { Stage, StageContext } from "./stage.ts";

const checkTimeoutMs = 3 * 60_000;

/** Looks at the files without running the product; the quickest to fail come first. */
export const CHECKS: readonly Stage[] = [
  checkStage("format", "oxfmt: every file is formatted (npm run format)", ["oxfmt", "--check"]),
  checkStage("lint", "oxlint with types: no floating promise, no any, size limits", [
    "oxlint",
    "--type-aware",
    "--deny-warnings",
  ]),
  checkStage("types", "tsc", ["tsc", "--noEmit", "-p", "."]),
  {
    ...checkStage("imports", "dependency-cruiser: imports point downwards, pure folders have no effects", []),
    run: checkImports,
  },
  checkStage("dead-code", "knip: no unused file, export or package", ["knip", "--no-progress"]),
];

function checkStage(name: string, about: string, [tool, ...args]: readonly string[]): Stage {
  return {
    name,
    about,
    root: false,
    lab: false,
    corrosion: false,
    async run(context) {
      const argv = [toolPath(tool ?? name), ...args];
      const ended = await runBounded(argv, { timeoutMs: context.timeLimitMs(checkTimeoutMs) });
      if (ended.code !== 0) context.show(ended.output);
      return [outcome(name, ended.durationMs, ended.code === 0 ? undefined : describeEnd(ended))];
    },
  };
}

interface CruiseReport {
  readonly summary: {
    readonly totalCruised: number;
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
      readonly comment?: string;
    }[];
    readonly ruleSetUsed?: { readonly forbidden?: readonly { readonly name?: string; readonly comment?: string }[] };
  };
}

/**
 * The tool reports success even when it could read no module. Therefore this compares the number of modules with the
 * number of source files.
 */
async function checkImports(context: StageContext): Promise<TestResult[]> {
  const folders = ["src", "tools", "lab", "bench", "test", "scripts"];
  const argv = [toolPath("depcruise"), "--config", ".dependency-cruiser.cjs", "--output-type", "json", ...folders];
  const ended = await runBounded(argv, { timeoutMs: context.timeLimitMs(checkTimeoutMs) });
  let report: CruiseReport;
  try {
    report = JSON.parse(ended.stdout) as CruiseReport;
  } catch {
    context.show(ended.output);
    return [outcome("imports", ended.durationMs, describeEnd(ended))];
  }
  const { totalCruised, violations, ruleSetUsed } = report.summary;
  const files = [...new Bun.Glob("src/**/*.ts").scanSync(repository)].length;
  if (totalCruised < files || files === 0) {
    const why = `the tool read ${totalCruised} modules, and src alone has ${files} files`;
    return [outcome("imports", ended.durationMs, why)];
  }
  for (const { rule, from, to } of violations) {
    const comment = ruleSetUsed?.forbidden?.find((known) => known.name === rule.name)?.comment;
    context.show(`${from} → ${to}: ${rule.name}${comment === undefined ? "" : ` (${comment})`}\n`);
  }
  const why = violations.length === 0 ? undefined : `${violations.length} forbidden imports`;
  return [outcome("imports", ended.durationMs, why)];
}

function toolPath(tool: string): string {
  return join(repository, "node_modules", ".bin", tool);
}

function describeEnd(ended: { readonly code: number; readonly timedOut: boolean }): string {
  return ended.timedOut ? "was not done in time" : `exit ${ended.code}`;
}

function outcome(name: string, durationMs: number, why: string | undefined): TestResult {
  return why === undefined ? { name, status: "passed", durationMs } : { name, status: "failed", durationMs, why };
}
