import type { StatusRow } from "./text.ts";

/** Joins stay in sight for this long. */
const RECENT_MS = 7 * 24 * 3_600_000;

interface Join {
  readonly name: string;
  readonly subnet: number;
  readonly isNamed: boolean;
  /** the earliest that one of the servers that were asked has noted */
  readonly firstSeenMs: number | null;
}

/**
 * Who joined lately, and members that no entry of the file stands for: any member's root can admit a newcomer, so nobody
 * joins unseen. Only when all of the file's servers were asked is it sure that a member is none of them.
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
