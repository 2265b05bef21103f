// npm test: every check and test, in an order that fails early. The last line is `N passed, N failed, N skipped`.
//
//   npm test                            everything
//   npm test -- unit e2e                these stages
//   npm test -- test/field/mesh.test.ts   these files
//   npm test -- --list                  what the stages are
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../tools/cache.ts";
import { ensureCorrosion, type CorrosionForTests } from "./corrosion.ts";
import { endRunning, repository } from "./test-run/bounded-process.ts";
import { CHECKS } from "./test-run/checks.ts";
import type { TestResult } from "./test-run/junit.ts";
import { countResults, formatSeconds, formatVerdict } from "./test-run/report.ts";
import { findLabObstacle, findRootAccess, handBack, labNotice, runAsRoot } from "./test-run/root-access.ts";
import type { Stage, StageResult } from "./test-run/stage.ts";
import { findTestFiles, TEST_STAGES } from "./test-run/test-files.ts";

const stages: readonly Stage[] = [...CHECKS, ...TEST_STAGES];
const wholeLimitMs = 80 * 60_000;

/** A run so far. A file hands it over when the rest runs as root. */
interface Run {
  readonly startedAtMs: number;
  readonly files: readonly string[];
  readonly todo: readonly string[];
  readonly done: readonly StageResult[];
  readonly corrosion?: CorrosionForTests;
}

let interrupted: NodeJS.Signals | undefined;

function say(line: string): void {
  console.log(`   ${line}`);
}

function chooseRun(args: readonly string[]): Run {
  const [first, continuation] = args;
  if (first === "--continue" && continuation !== undefined) {
    return JSON.parse(readFileSync(continuation, "utf8")) as Run;
  }
  if (first === "--list") {
    for (const stage of stages) console.log(`${stage.name.padEnd(12)} ${stage.about}`);
    process.exit(0);
  }
  const files = args.filter((arg) => arg.endsWith(".test.ts")).map((file) => file.replace(/^\.\//, ""));
  const names = args.filter((arg) => !arg.endsWith(".test.ts"));
  const unknown = [
    ...names.filter((name) => !stages.some((stage) => stage.name === name)),
    ...files.filter((file) => !stages.some((stage) => findTestFiles(stage.folders ?? []).includes(file))),
  ];
  if (unknown.length > 0) {
    console.error(`error: no stage or test file is called ${unknown.join(", ")}`);
    console.error(`hint: stages are ${stages.map((stage) => stage.name).join(", ")}`);
    process.exit(2);
  }
  const isChosen = (stage: Stage) =>
    (args.length === 0 && stage.onRequest !== true) ||
    names.includes(stage.name) ||
    findTestFiles(stage.folders ?? []).some((file) => files.includes(file));
  const todo = stages.filter(isChosen).map((stage) => stage.name);
  return { startedAtMs: Date.now(), files, todo, done: [] };
}

async function runStage(
  stage: Stage,
  run: Run,
  obstacle: string | undefined,
  corrosion: CorrosionForTests | undefined,
): Promise<StageResult> {
  console.log(`── ${stage.name}: ${stage.about}`);
  const started = performance.now();
  const results: TestResult[] = [];
  if (obstacle === undefined) {
    const context = {
      files: run.files,
      corrosion,
      timeLimitMs: (limitMs: number) => Math.max(1, Math.min(limitMs, run.startedAtMs + wholeLimitMs - Date.now())),
      show: (text: string) => process.stdout.write(text),
      say,
    };
    results.push(...(await stage.run(context)));
  } else {
    for (const file of findTestFiles(stage.folders ?? [])) {
      results.push({ name: file, status: "skipped", durationMs: 0, why: obstacle });
    }
  }
  if (interrupted !== undefined) {
    results.push({ name: stage.name, status: "failed", durationMs: 0, why: `interrupted by ${interrupted}` });
  }
  const durationMs = performance.now() - started;
  const { passed, failed, skipped } = countResults(results);
  say(`${passed} passed, ${failed} failed, ${skipped} skipped in ${formatSeconds(durationMs).trim()}`);
  return { stage: stage.name, durationMs, results };
}

/** The result of getting Corrosion; undefined when it is ready. */
function corrosionResult(corrosion: CorrosionForTests, durationMs: number): StageResult | undefined {
  if (corrosion.state === "ready") return undefined;
  const status = corrosion.state === "failed" ? "failed" : "skipped";
  const name = "every case that needs real Corrosion";
  return { stage: "corrosion", durationMs, results: [{ name, status, durationMs, why: corrosion.why }] };
}

async function continueAsRoot(run: Run): Promise<never> {
  for (const line of labNotice) say(line);
  say(`${cacheDirectory()}: running again with sudo`);
  const folder = await mkdtemp(join(tmpdir(), "jiji-test-run-"));
  const file = join(folder, "run.json");
  writeFileSync(file, JSON.stringify(run), { mode: 0o600 });
  const code = await runAsRoot(["--continue", file], {});
  rmSync(dirname(file), { recursive: true, force: true });
  process.exit(code);
}

async function main(): Promise<number> {
  const run = chooseRun(process.argv.slice(2));
  const wanted = stages.filter((stage) => run.todo.includes(stage.name));
  const access = findRootAccess();
  const building =
    run.corrosion === undefined && wanted.some((stage) => stage.corrosion) ? ensureCorrosion(say) : undefined;
  let corrosion = run.corrosion;
  const done: StageResult[] = [...run.done];
  let left = wanted;
  for (const stage of wanted) {
    if (interrupted !== undefined || done.some(hasFailure)) break;
    if (stage.corrosion && corrosion === undefined && building !== undefined) {
      const started = performance.now();
      corrosion = await building;
      const result = corrosionResult(corrosion, performance.now() - started);
      if (result !== undefined) done.push(result);
      if (corrosion.state === "failed") break;
    }
    const obstacle = stage.lab ? findLabObstacle(access) : undefined;
    if (stage.root && obstacle === undefined && access.kind === "sudo") {
      await continueAsRoot({ ...run, todo: left.map(({ name }) => name), done, ...(corrosion && { corrosion }) });
    }
    done.push(await runStage(stage, run, obstacle, corrosion));
    left = left.slice(1);
  }
  // No stage that is left needs a Corrosion that is still being built.
  endRunning();
  await building;
  handBack(join(repository, "dist"));
  const notRun = left.map((stage) => stage.name);
  const verdict = formatVerdict(done, notRun, { skipsFail: process.env["CI"] === "true" });
  console.log(verdict.lines.join("\n"));
  return interrupted === undefined ? verdict.exitCode : 130;
}

function hasFailure(stage: StageResult): boolean {
  return stage.results.some((result) => result.status === "failed");
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    interrupted = signal;
    endRunning();
  });
}
process.exitCode = await main();
