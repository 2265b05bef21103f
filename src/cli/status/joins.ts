import type { StatusRow } from "./text.ts";

/** Joins are shown for this long. */
const RECENT_MS = 7 * 24 * 3_600_000;

interface Join {
  readonly name: string;
  readonly subnet: number;
  readonly isNamed: boolean;
  /** the earliest time that any of the asked servers has noted */
  readonly firstSeenMs: number | null;
}

/**
 * Who joined lately, and members that are not in the file. Root on any member can admit a newcomer, so every join is shown.
 * Members count as strangers only when all of the file's servers have answered.
 */
export function joinNotes(rows: readonly StatusRow[], nowMs: number): string[] {
  const joins = joinsOf(rows);
  const isRecent = ({ firstSeenMs }: Join): boolean => firstSeenMs !== null && nowMs - firstSeenMs < RECENT_MS;
  const recent = joins.filter(isRecent).toSorted((a, b) => (b.firstSeenMs ?? 0) - (a.firstSeenMs ?? 0));
  const strangers = rows.every(({ status }) => status !== undefined) ? joins.filter(({ isNamed }) => !isNamed) : [];
  return [
    ...(recent.length === 0 ? [] : [`joined in the last 7 days: ${recent.map(shown).join("; ")}`]),
    ...strangers.map((join) => `a member that is not in this file: ${shown(join)}`),
  ];
}

function joinsOf(rows: readonly StatusRow[]): Join[] {
  const named = new Set(
    rows.flatMap(({ status }) => (status?.identity.state === "found" ? [String(status.identity.value.id)] : [])),
  );
  const joins = new Map<string, Join>();
  for (const { id, name, subnet, firstSeenMs } of rows.flatMap(({ status }) => status?.members ?? [])) {
    const times = [joins.get(id)?.firstSeenMs ?? null, firstSeenMs].filter((time) => time !== null);
    const earliest = times.length === 0 ? null : Math.min(...times);
    joins.set(id, { name, subnet, isNamed: named.has(id), firstSeenMs: earliest });
  }
  return [...joins.values()].toSorted((a, b) => a.subnet - b.subnet);
}

function shown({ name, subnet, firstSeenMs }: Join): string {
  const time =
    firstSeenMs === null ? "" : `, ${new Date(firstSeenMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return `${name} (number ${subnet}${time})`;
}
