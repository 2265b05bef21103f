import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { StoreFigures } from "../../model/store-figures.ts";
import { diffStores, lastingDifferences, versionsBehind, type StoreView } from "./store-differences.ts";

type Owned = StoreFigures["owners"];

function view(server: string, owners: Owned, versions: Readonly<Record<string, number>> = {}): StoreView {
  const entries = Object.entries(versions).map(([site, version]) => ({ site, version }));
  const figures: StoreFigures = {
    tables: [],
    pages: { bytes: 0, freeBytes: 0 },
    owners,
    servers: [],
    removed: { id: "", rows: 0, digest: "" },
    unlisted: 0,
    replication: { site: null, versions: entries, missing: 0, members: {} },
  };
  return { server, self: `id-${server}`, figures };
}

const rows = (id: string, count: number, digest: string): Owned[number] => ({ id, rows: count, digest });

describe("differences", () => {
  test("the owner's own store is right, even when most have something else", () => {
    const views = [
      view("a", [rows("id-a", 3, "new")]),
      view("b", [rows("id-a", 2, "old")]),
      view("c", [rows("id-a", 2, "old")]),
    ];
    expect(diffStores(views).map(({ server, rows, expected }) => [server, rows, expected])).toEqual([
      ["b", 2, { server: "a", rows: 3 }],
      ["c", 2, { server: "a", rows: 3 }],
    ]);
  });

  test("without the owner, what most have is; and having none is a difference, too", () => {
    const views = [view("a", []), view("b", [rows("x", 2, "d")]), view("c", [rows("x", 2, "d")])];
    expect(diffStores(views)).toEqual([
      { kind: "containers", owner: "x", server: "a", rows: 0, digest: "", expected: { server: "b", rows: 2 } },
    ]);
  });

  test("one that changes between two looks is on its way; one that stays is not", () => {
    const late = diffStores([view("a", [rows("id-a", 3, "3")]), view("b", [rows("id-a", 2, "2")])]);
    const later = diffStores([view("a", [rows("id-a", 5, "5")]), view("b", [rows("id-a", 4, "4")])]);
    const stuck = diffStores([view("a", [rows("id-a", 5, "5")]), view("b", [rows("id-a", 2, "2")])]);
    expect(lastingDifferences(late, later)).toEqual([]);
    expect(lastingDifferences(late, stuck)).toHaveLength(1);
    expect(lastingDifferences([], stuck)).toEqual([]);
  });
});

const owned = fc.uniqueArray(
  fc.record({ id: fc.constantFrom("id-a", "id-b", "x"), rows: fc.nat(3), digest: fc.constantFrom("1", "2") }),
  { selector: ({ id }) => id, maxLength: 3 },
);
const stores = fc
  .array(owned, { minLength: 1, maxLength: 5 })
  .map((all) => all.map((each, n) => view("abcde"[n]!, each)));

test("equal stores have no differences, and a store never differs from itself (property)", () => {
  fc.assert(
    fc.property(owned, fc.integer({ min: 1, max: 5 }), (same, count) => {
      expect(diffStores(Array.from({ length: count }, (_, n) => view("abcde"[n]!, same)))).toEqual([]);
    }),
  );
  fc.assert(
    fc.property(stores, (views) => {
      for (const { server, owner, expected } of diffStores(views)) {
        expect(server).not.toBe(expected.server);
        expect(owner).not.toBe(`id-${server}`);
      }
    }),
  );
});

test("how far each is behind what any other has", () => {
  const views = [view("a", [], { s: 5, t: 2 }), view("b", [], { s: 3 }), view("c", [], { t: 9 })];
  expect([...versionsBehind(views)]).toEqual([
    ["a", 7],
    ["b", 11],
    ["c", 5],
  ]);
});
