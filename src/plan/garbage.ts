import { parseServerId } from "../model/keys.ts";
import type { GcRow, GcSeen } from "../model/node/gc.ts";

/** What one server that was asked sees. */
export interface GcView {
  /** its name in the file */
  readonly server: string;
  readonly seen: Omit<GcSeen, "type">;
  readonly rows: readonly GcRow[];
}

/** A row whose server or container is gone. */
export interface StaleRow extends GcRow {
  /** the owner's name, as far as anybody knows it */
  readonly ownerName: string | null;
  readonly reason:
    | "its server was removed"
    | "its server has no such container"
    | "its server knows of no record in it";
  /** `delete`: it is deleted; `owner`: its own server's agent is asked to */
  readonly by: "delete" | "owner";
}

/** Rows that look odd and stay. */
export interface KeptRows {
  readonly owner: string;
  readonly ownerName: string | null;
  readonly rows: number;
  readonly why: string;
}

export interface Garbage {
  /** in order of owner, table and number */
  readonly stale: readonly StaleRow[];
  readonly kept: readonly KeptRows[];
  readonly removed: readonly RemovedServer[];
}

export interface RemovedServer {
  readonly id: string;
  /** empty when only the store knows of it */
  readonly name: string;
  /** the number that it still holds on some server; null: on none */
  readonly subnet: number | null;
  /** servers that hold its number still, or have not heard of its removal */
  readonly openOn: readonly string[];
}

/**
 * Finds stale rows in what the servers see. Pure; the order of the views does not matter.
 *
 * A server counts as removed when the members.json of one server says so (an operator brought it there), or when the store says
 * so and no server counts it as a member: any member can write to the store. A server that answers as a member is never
 * removed, since one server's word must not cost a living one its rows.
 *
 * Only rows of removed servers are deleted. Every other row belongs to its owner. It is stale only when the owner says so and
 * its engine answers; then the owner's agent is asked to remove it. So a silent server keeps its rows.
 */
export function findGarbage(unordered: readonly GcView[]): Garbage {
  // Two servers may describe one row differently while a change is on its way.
  const views = unordered.toSorted((a, b) => (a.server < b.server ? -1 : 1));
  const names = namesOf(views);
  const removed = removedServers(views);
  const stale = new Map<string, StaleRow>();
  const kept = new Map<string, Set<string>>();
  for (const { seen, rows } of views) {
    for (const row of rows) {
      const key = JSON.stringify([row.owner, row.table, row.n]);
      const ownerName = names.get(row.owner) ?? null;
      if (removed.has(row.owner)) {
        stale.set(key, { ...row, ownerName, reason: "its server was removed", by: "delete" });
      } else if (row.why === "absent" && row.owner === seen.self && seen.uncompared === null) {
        stale.set(key, { ...row, ownerName, reason: absentReason(row), by: "owner" });
      } else if (row.why === "not a member" && !names.has(row.owner)) {
        kept.set(row.owner, (kept.get(row.owner) ?? new Set()).add(key));
      }
    }
  }
  return {
    stale: [...stale.values()].toSorted(byPlace),
    kept: [...keptUnknown(kept), ...keptPending(views, removed, names)],
    removed: [...removed.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

function absentReason({ what }: GcRow): StaleRow["reason"] {
  return what === null ? "its server knows of no record in it" : "its server has no such container";
}

function byPlace(a: StaleRow, b: StaleRow): number {
  if (a.owner !== b.owner) return a.owner < b.owner ? -1 : 1;
  if (a.table !== b.table) return a.table < b.table ? -1 : 1;
  return (a.n ?? -1) - (b.n ?? -1);
}

/** Names of members and of removed servers, by id. */
function namesOf(views: readonly GcView[]): ReadonlyMap<string, string> {
  const known = views.flatMap(({ seen }) => [...seen.removed, ...seen.members]);
  return new Map(
    known.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ id, name }): [string, string] => [id, name]),
  );
}

/** A server that answers, and has not heard of its own removal. */
function answersAsMember(views: readonly GcView[], id: string): boolean {
  return views.some(({ seen }) => seen.self === id && !seen.removed.some((each) => each.id === id));
}

function removedServers(views: readonly GcView[]): ReadonlyMap<string, RemovedServer> {
  const members = new Set<string | null>(views.flatMap(({ seen }) => [seen.self, ...seen.members.map(({ id }) => id)]));
  const names = namesOf(views);
  const removed = new Map<string, RemovedServer>();
  for (const { id } of views.flatMap(({ seen }) => seen.removed)) {
    if (answersAsMember(views, id)) continue;
    const own = views.flatMap(({ seen }) => seen.removed.filter((each) => each.id === id));
    const numbers = own.flatMap(({ subnet }) => subnet ?? []).toSorted((a, b) => a - b);
    const isDone = ({ seen }: GcView): boolean =>
      seen.self === id || seen.removed.some((each) => each.id === id && each.subnet === null);
    const openOn = views.filter((view) => !isDone(view)).map(({ server }) => server);
    removed.set(id, { id, name: names.get(id) ?? "", subnet: numbers[0] ?? null, openOn: openOn.toSorted() });
  }
  for (const id of views.flatMap(({ seen }) => seen.tombstones)) {
    if (parseServerId(id) === undefined || members.has(id) || removed.has(id)) continue;
    removed.set(id, { id, name: "", subnet: null, openOn: [] });
  }
  return removed;
}

function keptUnknown(kept: ReadonlyMap<string, ReadonlySet<string>>): KeptRows[] {
  const why = "no server knows this owner; its own row may be on its way, or somebody made it up";
  return [...kept]
    .map(([owner, rows]) => ({ owner, ownerName: null, rows: rows.size, why }))
    .toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
}

/** Servers that the store or another server calls removed, although some server, perhaps only themselves, counts them as members. */
function keptPending(
  views: readonly GcView[],
  removed: ReadonlyMap<string, unknown>,
  names: ReadonlyMap<string, string>,
): KeptRows[] {
  const called = views.flatMap(({ seen }) => [...seen.tombstones, ...seen.removed.map(({ id }) => id)]);
  const ids = new Set(called.filter((id) => !removed.has(id)));
  const whyOf = (id: string): string =>
    answersAsMember(views, id)
      ? "another server calls it removed, but it answers, and counts itself as a member"
      : "the store calls it removed, but no operator's command has; its servers count it as a member";
  return [...ids]
    .toSorted()
    .map((owner) => ({ owner, ownerName: names.get(owner) ?? null, rows: 0, why: whyOf(owner) }));
}
