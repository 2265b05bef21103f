import { formatFinding, type Finding } from "../../model/finding.ts";
import { formatDuration } from "../duration.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { UnreachedServer } from "../servers/fleet.ts";
import type { Output } from "../output.ts";
import type { ServerRun } from "./rounds.ts";
import type { PlannedServer } from "./planning.ts";
import type { Verdict } from "./verify.ts";
import { renderTable } from "../table.ts";

export interface SetupReport {
  readonly clusterCidr: string;
  readonly dryRun: boolean;
  readonly planned: readonly PlannedServer[];
  /** empty when nothing had to be done */
  readonly runs: ReadonlyMap<string, ServerRun>;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly skipped: readonly UnreachedServer[];
  readonly notes: readonly string[];
  readonly tookMs: number;
}

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

type Outcome = "planned" | "unchanged" | "done" | "failed" | "unhealthy" | "skipped";

interface Row {
  readonly name: string;
  readonly address: string | null;
  readonly subnet: number | null;
  readonly outcome: Outcome;
  readonly steps: PlannedServer["plan"]["steps"];
  readonly seconds: number;
  readonly verdict: Verdict | undefined;
  readonly error: { readonly message: string; readonly hint?: string | undefined } | undefined;
  readonly notes: readonly string[];
}

/** Says what was done and how it looks now; gives the exit code. */
export function reportSetup(output: Output, asJson: boolean, report: SetupReport): ExitCode {
  const rows = [...report.planned.map((server) => rowOf(server, report)), ...report.skipped.map(skippedRow)];
  const code = exitCode(rows);
  if (asJson) {
    output.json(code, toJson(report, rows));
  } else if (!report.dryRun) {
    output.data(`\n${summaryTable(rows)}`);
  }
  for (const { name, verdict, outcome } of rows) {
    if (outcome === "unhealthy") output.error(`${name}: ${verdict?.problems.join("; ") ?? ""}`, hintFor(verdict));
  }
  for (const note of new Set(rows.flatMap(({ name, notes }) => notes.map((line) => `${name}: ${line}`)))) {
    output.progress(`note: ${note}`);
  }
  const end = report.dryRun ? "dry run: nothing was changed" : describeEnd(code);
  output.progress(`${end} (${formatDuration(report.tookMs)})`);
  return code;
}

function rowOf(server: PlannedServer, report: SetupReport): Row {
  const run = report.runs.get(server.name);
  const verdict = report.verdicts.get(server.name);
  return {
    name: server.name,
    address: server.plan.address,
    subnet: server.spec.subnet,
    outcome: outcomeOf(server, report),
    steps: server.plan.steps,
    seconds: Math.round((run?.tookMs ?? 0) / 100) / 10,
    verdict,
    error: run?.error === undefined ? undefined : { message: run.error.message, hint: run.error.hint },
    notes: run?.notes ?? [],
  };
}

function outcomeOf(server: PlannedServer, report: SetupReport): Outcome {
  const verdict = report.verdicts.get(server.name);
  if (report.dryRun) return server.plan.steps.length === 0 ? "unchanged" : "planned";
  if (report.runs.get(server.name)?.error !== undefined) return "failed";
  if (verdict !== undefined && verdict.problems.length > 0) return "unhealthy";
  return server.plan.steps.length === 0 ? "unchanged" : "done";
}

function skippedRow({ config, error }: UnreachedServer): Row {
  return {
    name: config.name,
    address: null,
    subnet: null,
    outcome: "skipped",
    steps: [],
    seconds: 0,
    verdict: undefined,
    error: { message: error.message, hint: error.hint },
    notes: [],
  };
}

function exitCode(rows: readonly Row[]): ExitCode {
  const isWell = ({ outcome }: Row): boolean =>
    outcome !== "failed" && outcome !== "unhealthy" && outcome !== "skipped";
  if (rows.every(isWell)) return EXIT.ok;
  return rows.some(isWell) ? EXIT.partly : EXIT.failed;
}

function describeEnd(code: ExitCode): string {
  if (code === EXIT.ok) return "all servers are members and can talk to each other";
  return code === EXIT.partly ? "some servers are not as they should be" : "setup failed";
}

function summaryTable(rows: readonly Row[]): string {
  const ratio = (part: { good: number; of: number } | undefined): string =>
    part === undefined ? "-" : `${part.good}/${part.of}`;
  return renderTable(
    ["SERVER", "ADDRESS", "RESULT", "STEPS", "HANDSHAKES", "FULL SIZE", "DNS", "TIME"],
    rows.map(({ name, address, outcome, steps, verdict, seconds }) => [
      name,
      address ?? "-",
      outcome,
      `${steps.length}`,
      ratio(verdict?.handshakes),
      ratio(verdict?.fullSize),
      verdict === undefined ? "-" : verdict.dns ? "answers" : "silent",
      seconds === 0 ? "-" : `${seconds.toFixed(1)} s`,
    ]),
  );
}

function hintFor(verdict: Verdict | undefined): string {
  if (verdict === undefined || !verdict.dns) return "journalctl -u jiji-dns -n 50 on the server";
  return "UDP port 31820 must be open between the servers; jiji network status shows more";
}

function toJson(report: SetupReport, rows: readonly Row[]): object {
  return {
    dryRun: report.dryRun,
    clusterCidr: report.clusterCidr,
    seconds: Math.round(report.tookMs / 100) / 10,
    servers: rows.map(({ verdict, error, ...row }) => ({
      ...row,
      ...(error === undefined ? {} : { error }),
      ...(verdict === undefined
        ? {}
        : {
            verify: {
              handshakes: verdict.handshakes,
              fullSizePackets: verdict.fullSize,
              dns: verdict.dns,
              problems: verdict.problems,
            },
          }),
    })),
    notes: report.notes,
  };
}
