import { formatFinding, type Finding } from "../../model/finding.ts";
import type { ShownStep } from "../../model/node/apply.ts";
import { formatDuration } from "../duration.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { loginFindings, type UnreachedServer } from "../servers/fleet.ts";
import type { PlannedServer, ServerRun, Work } from "./work.ts";

/** Everything that forbids to begin, together. Nothing was changed. */
export function reportFindings(output: Output, asJson: boolean, findings: readonly Finding[]): ExitCode {
  const shown = findings.toSorted((a, b) => ((a.server ?? "") < (b.server ?? "") ? -1 : 1));
  if (asJson) output.json(EXIT.failed, { findings: shown });
  for (const found of shown) showFinding(output, found);
  output.progress("nothing was changed");
  return EXIT.failed;
}

function showFinding(output: Output, found: Finding): void {
  const text = formatFinding(found);
  output.error(found.server === null ? text : `${found.server}: ${text}`, found.cure);
}

/**
 * Decides about servers that could not be logged in to: a refused login and other `findings` forbid to begin (the exit
 * code); a server that is away is skipped with a warning (undefined).
 */
export function reportUnreached(
  { output, options }: Work,
  unreached: readonly UnreachedServer[],
  findings: readonly Finding[],
): ExitCode | undefined {
  const all = [...loginFindings(unreached), ...findings];
  if (all.length > 0) return reportFindings(output, options.json, all);
  for (const { error } of unreached) output.warn(`${error.server}: ${error.message}; it is skipped`, error.hint);
  return undefined;
}

/** What became of one server, as `--json` prints it. */
export interface Row {
  readonly name: string;
  readonly outcome: "planned" | "unchanged" | "clean" | "done" | "failed" | "unhealthy" | "skipped";
  readonly steps: readonly ShownStep[];
  readonly seconds: number;
  readonly notes: readonly string[];
  readonly error?: { readonly message: string; readonly hint: string | undefined };
}

/** The row of a server; `run` is undefined in a dry run and when there was nothing to do. */
export function rowOf(
  { options }: Work,
  { name, steps, notes }: PlannedServer,
  run: ServerRun | undefined,
  unchanged: "unchanged" | "clean",
): Row {
  const idle = steps.length === 0 ? unchanged : "done";
  const outcome = run?.error !== undefined ? "failed" : options.dryRun && idle === "done" ? "planned" : idle;
  const row = { name, outcome, steps, seconds: secondsOf(run?.tookMs ?? 0), notes: run?.notes ?? notes } as const;
  return run?.error === undefined ? row : { ...row, error: shownError(run.error) };
}

export function skippedRow({ config, error }: UnreachedServer): Row {
  return { name: config.name, outcome: "skipped", steps: [], seconds: 0, notes: [], error: shownError(error) };
}

function shownError({ message, hint }: NonNullable<ServerRun["error"]>): NonNullable<Row["error"]> {
  return { message, hint };
}

function secondsOf(ms: number): number {
  return Math.round(ms / 100) / 10;
}

/** How one command's report differs from another's. */
export interface Report {
  readonly rows: readonly Row[];
  /** what `--json` says besides */
  readonly json: object;
  /** the rows for people */
  table(): string;
  readonly runs: ReadonlyMap<string, ServerRun>;
  /** what is wrong though nothing failed */
  readonly findings: readonly Finding[];
  /** the last line, by how it ended */
  readonly ends: { readonly ok: string; readonly partly: string; readonly failed: string };
}

/** Says what was done; gives the exit code. */
export function reportRollout({ context, output, options, startedMs }: Work, report: Report): ExitCode {
  const { rows, ends } = report;
  const isWell = ({ outcome }: Row): boolean => !["failed", "unhealthy", "skipped"].includes(outcome);
  const code = rows.every(isWell) ? EXIT.ok : rows.some(isWell) ? EXIT.partly : EXIT.failed;
  const tookMs = context.clock.monotonicMs() - startedMs;
  if (options.json) {
    output.json(code, { dryRun: options.dryRun, ...report.json, seconds: secondsOf(tookMs), servers: rows });
  } else if (!options.dryRun) {
    output.data(`\n${report.table()}`);
  }
  for (const found of report.findings) showFinding(output, found);
  const notes = [...report.runs].flatMap(([name, run]) => run.notes.map((note) => `${name}: ${note}`));
  for (const note of new Set(notes)) output.progress(`note: ${note}`);
  const end = code === EXIT.ok ? ends.ok : code === EXIT.partly ? ends.partly : ends.failed;
  output.progress(`${options.dryRun ? "dry run: nothing was changed" : end} (${formatDuration(tookMs)})`);
  return code;
}
