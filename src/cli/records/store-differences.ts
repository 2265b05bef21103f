import type { StoreFigures } from "../../model/store-figures.ts";

/** What one server's store holds, and who that server is. */
export interface StoreView {
  readonly server: string;
  /** its id; null: not known */
  readonly self: string | null;
  readonly figures: StoreFigures;
}

/** A server whose store holds different rows from the others. */
export interface StoreDifference {
  readonly kind: "containers" | "server" | "removed servers";
  /** id of the server that the rows belong to; empty for removed servers */
  readonly owner: string;
  readonly server: string;
  readonly rows: number;
  readonly digest: string;
  /** the rows they should equal: the owner's own, else those of most servers */
  readonly expected: { readonly server: string; readonly rows: number };
}

interface Held {
  readonly rows: number;
  readonly digest: string;
}

const NOTHING: Held = { rows: 0, digest: "" };

/** Where stores differ now. A change that is still under way looks the same. */
export function diffStores(views: readonly StoreView[]): readonly StoreDifference[] {
  const removed = views.map(({ figures }) => new Map([["", figures.removed]]));
  return [
    ...diffOwned(
      "containers",
      views,
      views.map(({ figures }) => byId(figures.owners)),
    ),
    ...diffOwned(
      "server",
      views,
      views.map(({ figures }) => byId(figures.servers)),
    ),
    ...diffOwned("removed servers", views, removed),
  ];
}

function byId(owned: StoreFigures["owners"]): ReadonlyMap<string, Held> {
  return new Map(owned.map((each) => [each.id, each]));
}

function diffOwned(
  kind: StoreDifference["kind"],
  views: readonly StoreView[],
  held: readonly ReadonlyMap<string, Held>[],
): readonly StoreDifference[] {
  const owners = [...new Set(held.flatMap((each) => [...each.keys()]))].toSorted();
  return owners.flatMap((owner) => {
    const copies = views.map(({ server, self }, index) => ({ server, self, ...(held[index]?.get(owner) ?? NOTHING) }));
    const right = copies.find(({ self }) => self === owner) ?? commonest(copies);
    if (right === undefined) return [];
    return copies
      .filter(({ digest }) => digest !== right.digest)
      .map(({ server, rows, digest }) => {
        return { kind, owner, server, rows, digest, expected: { server: right.server, rows: right.rows } };
      });
  });
}

/** The copy that most servers have; on a tie the one with more rows, since a new row is more likely than a lost one. */
function commonest<T extends Held>(copies: readonly T[]): T | undefined {
  const count = ({ digest }: T): number => copies.filter((other) => other.digest === digest).length;
  return copies.toSorted((a, b) => count(b) - count(a) || b.rows - a.rows)[0];
}

/**
 * The differences that a second look finds again: the server had the same rows before, and they were wrong then too. A
 * change that was under way does not appear here.
 */
export function lastingDifferences(
  before: readonly StoreDifference[],
  now: readonly StoreDifference[],
): readonly StoreDifference[] {
  const keyOf = ({ kind, owner, server, digest }: StoreDifference): string =>
    JSON.stringify([kind, owner, server, digest]);
  const known = new Set(before.map(keyOf));
  return now.filter((difference) => known.has(keyOf(difference)));
}

/** How many versions each server's store lacks that another server has. */
export function versionsBehind(views: readonly StoreView[]): ReadonlyMap<string, number> {
  const newest = new Map<string, number>();
  for (const { figures } of views) {
    for (const { site, version } of figures.replication?.versions ?? []) {
      newest.set(site, Math.max(newest.get(site) ?? 0, version));
    }
  }
  return new Map(
    views.map(({ server, figures }) => {
      if (figures.replication === null) return [server, 0];
      const own = new Map(figures.replication.versions.map(({ site, version }) => [site, version]));
      return [server, [...newest].reduce((sum, [site, version]) => sum + version - (own.get(site) ?? 0), 0)];
    }),
  );
}
