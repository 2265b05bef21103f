import type { QueryEvent } from "../../model/node/query.ts";
import { formatBytes } from "../duration.ts";
import type { Colors } from "../output.ts";
import type { StoreDifference } from "./store-differences.ts";
import { DIFFERS, renderTable } from "../table.ts";

/** One server's figures, and how many versions it is behind what another has. */
export type ServerFigures = Omit<Extract<QueryEvent, { type: "figures" }>, "type"> & {
  readonly server: string;
  readonly behind: number;
};

export interface StatsReport {
  readonly servers: readonly ServerFigures[];
  /** that last */
  readonly differences: readonly StoreDifference[];
  /** members without a store: another member holds the only one */
  readonly without: readonly string[];
  readonly unasked: readonly { readonly server: string; readonly why: string; readonly hint: string | undefined }[];
}

/** A line per server, a line per owner of rows, and the differences. `withTables` adds a line per table of each server. */
export function renderStats(report: StatsReport, colors: Colors, withTables: boolean): string {
  const parts = [
    renderTable(
      ["SERVER", "STORE", "SIZE", "WAL", "FREE", "CLOCK", "VERSION", "BEHIND", "MISSING", "LAG", "MEMBERS"],
      report.servers.map((server) => serverRow(server, colors)),
    ),
    renderTable(["ROWS OF", "ID", "CONTAINERS", "SERVER ROW", "SAME ON"], ownerRows(report, colors)),
  ];
  if (withTables) parts.push(tablesText(report));
  if (report.without.length > 0) parts.push(colors.dim(`no store of their own: ${report.without.join(", ")}`));
  const lines = differenceLines(report);
  if (lines.length > 0) parts.push(lines.map((line) => colors.yellow(`${DIFFERS} ${line}`)).join("\n"));
  return parts.join("\n\n");
}

function serverRow(server: ServerFigures, colors: Colors): string[] {
  const { figures, health, sizeBytes, walBytes } = server;
  const { replication } = figures;
  const own = replication?.versions.find(({ site }) => site === replication.site)?.version;
  const missing = replication?.missing ?? 0;
  const lag = health?.lagSeconds ?? null;
  const size = (bytes: number | null): string => (bytes === null ? "-" : formatBytes(bytes));
  return [
    server.server,
    server.kind,
    size(sizeBytes),
    size(walBytes),
    formatBytes(figures.pages.freeBytes),
    clockShare(server),
    own === undefined ? "-" : String(own),
    replication === null ? "-" : server.behind > 0 ? colors.yellow(String(server.behind)) : "0",
    replication === null ? "-" : missing > 0 ? colors.red(String(missing)) : "0",
    lag === null ? "-" : `${lag.toFixed(2)} s`,
    membersOf(server),
  ];
}

/** The size of all clock tables, and their share of the file. */
function clockShare({ figures }: ServerFigures): string {
  const clocks = figures.tables.flatMap(({ clock }) => (clock === null ? [] : [clock.bytes]));
  if (clocks.length === 0) return "-";
  const bytes = clocks.reduce((sum, each) => sum + each, 0);
  const percent = figures.pages.bytes === 0 ? 0 : Math.round((100 * bytes) / figures.pages.bytes);
  return `${formatBytes(bytes)} (${percent} %)`;
}

function membersOf({ figures }: ServerFigures): string {
  const states = Object.entries(figures.replication?.members ?? {}).filter(([, count]) => count > 0);
  if (figures.replication === null) return "-";
  return states.length === 0 ? "0" : states.map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ");
}

/** Every owner once, with the figures of its own server, else of the first server that answered. */
function ownerRows({ servers, differences }: StatsReport, colors: Colors): string[][] {
  const names = namesOf(servers);
  const ids = new Set(servers.flatMap(({ figures }) => [...figures.owners, ...figures.servers].map(({ id }) => id)));
  const all = [...ids].map((id) => {
    const holder = servers.find(({ self }) => self === id) ?? servers[0];
    const rows = (list: readonly { readonly id: string; readonly rows: number }[] | undefined): string =>
      String(list?.find((each) => each.id === id)?.rows ?? 0);
    const other = new Set(differences.filter(({ owner }) => owner === id).map(({ server }) => server)).size;
    const same = `${servers.length - other} of ${servers.length}`;
    return [
      names.get(id) ?? colors.yellow("nobody known"),
      id.slice(0, 12),
      rows(holder?.figures.owners),
      rows(holder?.figures.servers),
      other === 0 ? same : colors.yellow(same),
    ];
  });
  return all.toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1));
}

function namesOf(servers: readonly ServerFigures[]): ReadonlyMap<string, string> {
  return new Map(servers.flatMap(({ members }) => members.map(({ id, name }) => [id, name] as const)));
}

function tablesText({ servers }: StatsReport): string {
  const rows = servers.flatMap(({ server, figures }) =>
    figures.tables.map(({ name, rows, bytes, clock }) => [
      server,
      name,
      String(rows),
      formatBytes(bytes),
      clock === null ? "-" : String(clock.keys),
      clock === null ? "-" : String(clock.rows),
      clock === null ? "-" : formatBytes(clock.bytes),
    ]),
  );
  return renderTable(["SERVER", "TABLE", "ROWS", "SIZE", "KEYS EVER", "CLOCK ROWS", "CLOCK SIZE"], rows);
}

/** What differs, for people. */
export function differenceLines({ servers, differences }: StatsReport): readonly string[] {
  const names = namesOf(servers);
  const lacks = servers.flatMap(({ server, figures }) => {
    const missing = figures.replication?.missing ?? 0;
    return missing === 0 ? [] : [`${server} knows of ${missing} versions that have not reached it`];
  });
  const lines = differences.map(({ kind, owner, server, rows, expected }) => {
    const whose = names.get(owner) ?? owner.slice(0, 12);
    if (kind === "removed servers") {
      return `${server} has ${rows} removed servers, ${expected.server} has ${others(rows, expected.rows)}`;
    }
    if (kind === "server")
      return `${server} has ${rows === 0 ? "no row" : "another row"} of server ${whose} than ${expected.server}`;
    return `${server} has ${rows} container rows of ${whose}, ${expected.server} has ${others(rows, expected.rows)}`;
  });
  return [...lines, ...lacks];
}

function others(rows: number, expected: number): string {
  return rows === expected ? "as many, with another content" : String(expected);
}

/** The same as data. */
export function statsJson(report: StatsReport): object {
  return {
    servers: report.servers,
    without: report.without,
    differences: report.differences,
    unasked: report.unasked.map(({ server, why, hint }) => ({ server, why, hint: hint ?? null })),
  };
}
