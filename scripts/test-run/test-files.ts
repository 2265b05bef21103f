import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Ended, repository, runBounded } from "./bounded-process.ts";
import { parseJunit, type TestResult } from "./junit.ts";
import type { Stage, StageContext } from "./stage.ts";

const minute = 60_000;

/** A test process needs a few hundred; a runaway would exhaust the machine's memory. */
const maxMegabytes = 3_000;

/** Runs the product, from the smallest part to the whole. */
export const TEST_STAGES: readonly Stage[] = [
  testStage({
    name: "unit",
    about: "unit and property tests beside the source, and what the documents say of the repository",
    folders: ["src", "tools", "lab", "bench", "scripts", "test/repository"],
    parallel: 4,
    isShort: true,
    timeLimitMs: 3 * minute,
    testTimeoutMs: 30_000,
  }),
  testStage({
    name: "dns",
    about:
      "jiji-dns as a whole, in one process: its answers beside a slow model's, forwarding, and every end of a stream",
    folders: ["test/dns"],
    parallel: 4,
    timeLimitMs: 3 * minute,
    testTimeoutMs: 30_000,
  }),
  testStage({
    name: "command",
    about: "commands as an operator types them, in this process",
    folders: ["test/command"],
    timeLimitMs: 5 * minute,
    testTimeoutMs: 30_000,
  }),
  testStage({
    name: "programs",
    about: "whole programs on this machine: jiji dns serve, mutated packets at it, measurements in small",
    folders: ["test/programs", "test/fuzz"],
    timeLimitMs: 5 * minute,
    testTimeoutMs: 2 * minute,
  }),
  testStage({
    name: "contract",
    about: "the same cases for each implementation: host, store, real engines in the lab, real Corrosion",
    folders: ["test/contract"],
    root: true,
    lab: true,
    corrosion: true,
    timeLimitMs: 10 * minute,
    testTimeoutMs: 60_000,
  }),
  testStage({
    name: "lab",
    about: "the lab itself: servers come up, go down and leave nothing behind",
    folders: ["test/lab"],
    root: true,
    lab: true,
    oneProcessPerFile: true,
    timeLimitMs: 15 * minute,
    testTimeoutMs: 2 * minute,
  }),
  testStage({
    name: "e2e",
    about: "the built executable on real servers in the lab",
    folders: ["test/e2e"],
    root: true,
    lab: true,
    corrosion: true,
    oneProcessPerFile: true,
    timeLimitMs: 25 * minute,
    testTimeoutMs: 10 * minute,
  }),
  testStage({
    name: "field",
    about: "a network's whole life over three generations of Debian, and servers that are unfit for one",
    folders: ["test/field"],
    root: true,
    lab: true,
    corrosion: true,
    oneProcessPerFile: true,
    timeLimitMs: 25 * minute,
    testTimeoutMs: 10 * minute,
  }),
  testStage({
    name: "patience",
    about: "what takes minutes of waiting; by name only",
    folders: ["test/patience"],
    root: true,
    lab: true,
    corrosion: true,
    onRequest: true,
    oneProcessPerFile: true,
    timeLimitMs: 25 * minute,
    testTimeoutMs: 10 * minute,
  }),
];

interface TestStageRequest {
  readonly name: string;
  readonly about: string;
  readonly folders: readonly string[];
  readonly root?: boolean;
  readonly lab?: boolean;
  readonly corrosion?: boolean;
  readonly onRequest?: boolean;
  /** each file in a process of its own, shown as it goes */
  readonly oneProcessPerFile?: boolean;
  /** how many processes share the files: more than cores, since many tests wait for a timer or a socket */
  readonly parallel?: number;
  /** too short for the runtime's last compiler to pay: without it the stage takes a tenth less processor time */
  readonly isShort?: boolean;
  /** of each process */
  readonly timeLimitMs: number;
  /** of each test that does not say otherwise */
  readonly testTimeoutMs: number;
}

function testStage(request: TestStageRequest): Stage {
  const { name, about, folders, root = false, lab = false, corrosion = false, onRequest = false } = request;
  return { name, about, folders, root, lab, corrosion, onRequest, run: (context) => runTestFiles(request, context) };
}

/** The stage's test files, relative to the repository, in a fixed order. */
export function findTestFiles(folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => [...new Bun.Glob(`${folder}/**/*.test.ts`).scanSync(repository)])
    .toSorted((a, b) => (a < b ? -1 : 1));
}

async function runTestFiles(request: TestStageRequest, context: StageContext): Promise<TestResult[]> {
  const files = findTestFiles(request.folders).filter(
    (file) => context.files.length === 0 || context.files.includes(file),
  );
  if (files.length === 0) {
    const why = `no *.test.ts in ${request.folders.join(", ")}`;
    return [{ name: request.name, status: "failed", durationMs: 0, why }];
  }
  if (request.oneProcessPerFile !== true) return await runBunTest(request, files, context);
  if (request.corrosion === true && context.corrosion?.state === "unavailable") {
    const { why } = context.corrosion;
    return files.map((file) => ({ name: file, status: "skipped", durationMs: 0, why }));
  }
  const results: TestResult[] = [];
  for (const file of files) {
    context.say(file);
    results.push(...(await runBunTest(request, [file], context)));
  }
  return results;
}

async function runBunTest(
  request: TestStageRequest,
  files: readonly string[],
  context: StageContext,
): Promise<TestResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "jiji-test-"));
  const report = join(folder, "junit.xml");
  const live = request.oneProcessPerFile === true;
  try {
    const ended = await runBounded(
      [
        process.execPath,
        "--no-env-file",
        "test",
        ...(request.parallel === undefined ? [] : inParallel(request.parallel)),
        `--timeout=${request.testTimeoutMs}`,
        "--reporter=junit",
        `--reporter-outfile=${report}`,
        ...files.map((file) => `./${file}`),
      ],
      {
        timeoutMs: context.timeLimitMs(request.timeLimitMs),
        graceMs: 60_000,
        maxMegabytes,
        env: {
          ...(context.corrosion?.state === "ready" && { CORROSION_BIN: context.corrosion.paths }),
          ...(request.isShort === true && { BUN_JSC_useFTLJIT: "0" }),
        },
        ...(live && { onOutput: (text: string) => context.show(text) }),
      },
    );
    const results = [...parseJunit(readReport(report)), ...(await findLeftLabs(request, files, ended))];
    if (!live && ended.code !== 0) context.show(withoutPasses(ended.output));
    return ended.code === 0 || results.some((result) => result.status === "failed")
      ? results
      : [...results, unexplained(request, files, ended)];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The slowest files of the last run start first, so that none of them runs alone at the end. */
function inParallel(processes: number): string[] {
  const timings = join(repository, "node_modules", ".cache", "jiji", "test-timings.json");
  mkdirSync(dirname(timings), { recursive: true });
  return [`--parallel=${processes}`, "--no-isolate", `--timings=${timings}`, "--update-timings"];
}

function readReport(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Killed, or a file that could not be loaded: the exit code says that something is wrong.
    return "";
  }
}

/** The failure of a process in which no test failed. */
function unexplained(request: TestStageRequest, files: readonly string[], ended: Ended): TestResult {
  const what = files.length === 1 ? (files[0] ?? request.name) : request.name;
  let why = `exit ${ended.code} outside of a test`;
  if (ended.timedOut) why = `stopped after ${Math.round(ended.durationMs / 1000)} s, its time limit`;
  if (ended.outgrew) why = `killed when it used more than ${maxMegabytes} MB of memory`;
  return { name: what, status: "failed", durationMs: ended.durationMs, why };
}

/** Takes down the labs that the test process left behind; each is a failure. */
async function findLeftLabs(request: TestStageRequest, files: readonly string[], ended: Ended): Promise<TestResult[]> {
  if (request.lab !== true) return [];
  const { listLabIds, loadLabState } = await import("../../lab/state.ts");
  const { removeLab } = await import("../../lab/remove-lab.ts");
  const left = listLabIds().filter((id) => loadLabState(id)?.owner?.pid === ended.pid);
  for (const id of left) await removeLab(id);
  return ended.timedOut || ended.outgrew
    ? []
    : left.map((id) => ({
        name: `${files.join(" ")} › nothing is left behind`,
        status: "failed",
        durationMs: 0,
        why: `it left the lab ${id} behind, which is now taken down`,
      }));
}

/** Bun's output without the tests that passed and without the headings of files that say nothing else. */
function withoutPasses(output: string): string {
  const kept: string[] = [];
  let heading: string | undefined;
  for (const line of output.split("\n")) {
    if (line.startsWith("(pass) ") || line === "") continue;
    if (/^\S+\.test\.ts:$/.test(line)) {
      heading = line;
      continue;
    }
    if (heading !== undefined) kept.push("", heading);
    heading = undefined;
    kept.push(line);
  }
  return `${kept.join("\n")}\n`;
}
