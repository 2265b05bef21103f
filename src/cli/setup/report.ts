import type { ExitCode } from "../exit-codes.ts";
import { reportRollout, rowOf, skippedRow, type Row } from "../rollout/report.ts";
import type { Work } from "../rollout/work.ts";
import type { UnreachedServer } from "../servers/fleet.ts";
import { renderTable } from "../table.ts";
import type { SetupServer } from "./planning.ts";
import type { RoundsRun } from "./rounds.ts";
import type { Verdict } from "./verify.ts";

/** What became of one server; no verdict: it was not looked at afterwards. */
export interface SetupRun extends RoundsRun {
  readonly verdict: Verdict | undefined;
}

export interface SetupReport {
  readonly clusterCidr: string;
  readonly servers: readonly SetupServer[];
  /** empty in a dry run */
  readonly runs: ReadonlyMap<string, SetupRun>;
  readonly skipped: readonly UnreachedServer[];
  /** about the mesh */
  readonly notes: readonly string[];
}

interface SetupRow extends Row {
  readonly address: string | null;
  readonly subnet: number | null;
  readonly verify?: Omit<Verdict, "fullSize"> & { readonly fullSizePackets: Verdict["fullSize"] };
}

/** Says what was done and how it looks now; gives the exit code. */
export function reportSetup(work: Work, { clusterCidr, servers, runs, skipped, notes }: SetupReport): ExitCode {
  const rows: SetupRow[] = [
    ...servers.map((server) => setupRow(work, server, runs.get(server.name))),
    ...skipped.map((server) => ({ ...skippedRow(server), address: null, subnet: null })),
  ];
  return reportRollout(work, {
    rows,
    json: { clusterCidr, notes },
    table: () => summaryTable(rows),
    runs,
    findings: rows.flatMap(({ outcome, verify }) => (outcome === "unhealthy" ? (verify?.findings ?? []) : [])),
    ends: {
      ok: "all servers are members and can talk to each other",
      partly: "some servers are not as they should be",
      failed: "setup failed",
    },
  });
}

function setupRow(work: Work, server: SetupServer, run: SetupRun | undefined): SetupRow {
  const row = { ...rowOf(work, server, run, "unchanged"), address: server.address, subnet: server.spec.subnet };
  if (run?.verdict === undefined) return row;
  const { handshakes, fullSize, dns, findings } = run.verdict;
  const isIll = row.outcome !== "failed" && findings.length > 0;
  const verify = { handshakes, fullSizePackets: fullSize, dns, findings };
  return { ...row, ...(isIll ? { outcome: "unhealthy" } : {}), verify };
}

function summaryTable(rows: readonly SetupRow[]): string {
  const ratio = (part: { good: number; of: number } | undefined): string =>
    part === undefined ? "-" : `${part.good}/${part.of}`;
  return renderTable(
    ["SERVER", "ADDRESS", "RESULT", "STEPS", "HANDSHAKES", "FULL SIZE", "DNS", "TIME"],
    rows.map(({ name, address, outcome, steps, verify, seconds }) => [
      name,
      address ?? "-",
      outcome,
      `${steps.length}`,
      ratio(verify?.handshakes),
      ratio(verify?.fullSizePackets),
      verify === undefined ? "-" : verify.dns ? "answers" : "silent",
      seconds === 0 ? "-" : `${seconds.toFixed(1)} s`,
    ]),
  );
}
