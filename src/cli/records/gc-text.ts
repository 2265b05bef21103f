import type { GcDone } from "../../model/node/gc.ts";
import type { Garbage, GcView, StaleRow } from "../../plan/garbage.ts";
import type { Colors } from "../output.ts";
import { renderTable } from "../table.ts";

/** A server, and why it was not asked or did not act. */
export interface Unasked {
  readonly server: string;
  readonly why: string;
}

/** What `--force` did. */
export interface GcOutcome {
  readonly servers: { readonly server: string; readonly done: GcDone }[];
  readonly failed: Unasked[];
}

/** The most rows that are listed one by one; a removed server may have had 253. */
const LISTED = 100;

/** The stale rows and why they are stale, the rows that stay, and the numbers that are still taken. */
export function renderGarbage(garbage: Garbage, views: readonly GcView[], colors: Colors): string {
  const parts: string[] = [];
  if (garbage.stale.length > 0) parts.push(staleTable(garbage.stale));
  for (const { name, id, subnet, openOn } of garbage.removed) {
    if (openOn.length === 0) continue;
    const what = subnet === null ? "its removal" : `its number ${subnet}`;
    parts.push(`${name === "" ? id.slice(0, 12) : name} was removed; ${what} is to be settled on ${openOn.join(", ")}`);
  }
  for (const { owner, ownerName, rows, why } of garbage.kept) {
    const whose = ownerName ?? owner.slice(0, 12);
    const what = rows === 0 ? "all rows" : `${rows} ${rows === 1 ? "row" : "rows"}`;
    parts.push(colors.yellow(`kept: ${what} of ${whose}: ${why}`));
  }
  for (const { server, seen } of views) {
    if (seen.uncompared !== null) {
      parts.push(colors.yellow(`kept: all rows of ${server}, since its engine cannot be asked: ${seen.uncompared}`));
    }
    if (seen.unlisted > 0) parts.push(colors.yellow(`${seen.unlisted} more rows of no member on ${server}`));
  }
  if (parts.length === 0) return "nothing is stale";
  return parts.join("\n");
}

function staleTable(stale: readonly StaleRow[]): string {
  const rows = stale
    .slice(0, LISTED)
    .map(({ table, n, owner, ownerName, what, containerId, reason, by }) => [
      n === null ? table : `${table} ${n}`,
      ownerName ?? owner.slice(0, 12),
      what ?? "-",
      containerId?.slice(0, 12) ?? "-",
      reason,
      by === "delete" ? "delete" : "ask its server",
    ]);
  const text = renderTable(["ROW", "OF", "WHAT", "CONTAINER", "WHY", "WITH --force"], rows);
  return stale.length > LISTED ? `${text}\n… and ${stale.length - LISTED} more` : text;
}

/** What was done, in one line. */
export function renderOutcome({ servers }: GcOutcome, { removed }: Garbage, views: readonly GcView[]): string {
  const deleted = servers.flatMap(({ done }) => done.deleted ?? []);
  const rows = deleted.reduce((sum, { containers, servers: own }) => sum + containers + own, 0);
  const freed = removed
    .filter(({ id, subnet, openOn }) => subnet !== null && openOn.every((name) => isFreed(servers, name, id)))
    .map(({ subnet }) => subnet);
  const owners = servers.flatMap(({ server, done }) => (done.left === 0 ? [server] : []));
  const names = new Map<string, string>(views.flatMap(({ seen }) => seen.members.map(({ id, name }) => [id, name])));
  const asked = servers.flatMap(({ done }) => done.asked.map((id) => names.get(id) ?? id.slice(0, 12)));
  const parts = [
    `deleted ${rows} ${rows === 1 ? "row" : "rows"} of removed servers`,
    ...(owners.length > 0 ? [`${owners.join(", ")} deleted their own`] : []),
    ...(asked.length > 0 ? [`asked to look after their own: ${asked.join(", ")}`] : []),
    ...(freed.length > 0 ? [`free again: number ${freed.join(", ")}`] : []),
  ];
  return parts.join("; ");
}

function isFreed(servers: GcOutcome["servers"], name: string, id: string): boolean {
  return servers.some(({ server, done }) => server === name && done.freed.includes(id));
}
