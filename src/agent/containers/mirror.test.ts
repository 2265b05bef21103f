import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MemoryStore } from "../../../test/memory-store.ts";
import type { Ipv4 } from "../../model/address.ts";
import { parseContainerRecord } from "../../model/container-record.ts";
import type { ServerId } from "../../model/keys.ts";
import { isUsableRev, nextRev } from "../../model/revision.ts";
import type { DnsLabel } from "../../model/names.ts";
import {
  applyRowChanges,
  encodeRowChanges,
  largestRev,
  parseOwnRows,
  planMirror,
  selectOwnRows,
  type OwnRows,
} from "./mirror.ts";
import type { PublishedContainer } from "./publish.ts";

const NOW_MS = 1_700_000_000_000;
const SELF = "0".repeat(32) as ServerId;
const OTHER = "f".repeat(32) as ServerId;

function published(seed: number, change: Partial<PublishedContainer> = {}): PublishedContainer {
  return {
    containerId: seed.toString(16).padStart(64, "0"),
    project: "shop" as DnsLabel,
    service: "web" as DnsLabel,
    instance: null,
    address: `10.210.3.${(seed % 253) + 2}` as Ipv4,
    state: "healthy",
    ports: [],
    meta: {},
    ...change,
  };
}

function step(list: readonly PublishedContainer[], rows: OwnRows, nowMs = NOW_MS): OwnRows {
  return applyRowChanges(rows, planMirror(list, rows, nextRev(largestRev(rows, nowMs), nowMs), nowMs));
}

/** The texts of rows that hold a container. */
function records(rows: OwnRows): readonly string[] {
  return [...rows.values()].map(({ text }) => text).filter((text) => text !== "");
}

const containers = fc.uniqueArray(
  fc.record({
    seed: fc.nat(40),
    state: fc.constantFrom("healthy", "starting", "stopped", "unhealthy", "draining"),
  }),
  { selector: ({ seed }) => seed, maxLength: 12 },
);
const lists = containers.map((list) => list.map(({ seed, state }) => published(seed, { state })));

describe("rows follow the engine", () => {
  test("through any history they end as exactly what is there, one row each, and a second look writes nothing", () => {
    fc.assert(
      fc.property(fc.array(lists, { minLength: 1, maxLength: 15 }), (history) => {
        let rows: OwnRows = new Map();
        for (const list of history) rows = step(list, rows);
        const last = history.at(-1) ?? [];
        const said = records(rows).map((text) => {
          const { rev: _, ...rest } = parseContainerRecord(text) ?? { rev: 0 };
          return rest;
        });
        expect(said).toHaveLength(last.length);
        expect(said).toEqual(expect.arrayContaining([...last]));
        expect(planMirror(last, rows, NOW_MS, NOW_MS)).toEqual([]);
      }),
    );
  });

  test("from rows of any kind they converge in one step", () => {
    const record = published(7);
    const anyRows = fc.dictionary(
      fc.nat(30).map(String),
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.constant(JSON.stringify({ ...record, rev: NOW_MS })),
        fc.constant(JSON.stringify({ ...record, rev: Number.MAX_SAFE_INTEGER })),
      ),
    );
    fc.assert(
      fc.property(anyRows, lists, (dictionary, list) => {
        const rows = parseOwnRows(Object.entries(dictionary).map(([n, text]) => [Number(n), text]));
        const after = step(list, rows);
        expect(records(after)).toHaveLength(list.length);
        expect(planMirror(list, after, NOW_MS, NOW_MS)).toEqual([]);
        for (const text of records(after)) {
          expect(isUsableRev(parseContainerRecord(text)?.rev ?? Number.NaN, NOW_MS)).toBe(true);
        }
      }),
    );
  });

  test("a container keeps its n for life, and numbers stay below the most there ever were at once", () => {
    fc.assert(
      fc.property(fc.array(lists, { minLength: 1, maxLength: 20 }), (history) => {
        let rows: OwnRows = new Map();
        let most = 0;
        for (const list of history) {
          const before = new Map([...rows].map(([n, { record }]) => [record?.containerId, n]));
          rows = step(list, rows);
          most = Math.max(most, list.length);
          for (const [n, { record }] of rows) {
            expect(n).toBeLessThan(most);
            if (record === undefined) continue;
            const earlier = before.get(record.containerId);
            if (earlier !== undefined) expect(n).toBe(earlier);
          }
        }
      }),
    );
  });

  test("2,000 containers one after the other use as many keys as there were at once", () => {
    let rows: OwnRows = new Map();
    const keys = new Set<number>();
    for (let cycle = 0; cycle < 2000; cycle++) {
      rows = step([published(cycle), published(cycle + 1)], rows, NOW_MS + cycle);
      for (const n of rows.keys()) keys.add(n);
    }
    expect([...keys].toSorted((a, b) => a - b)).toEqual([0, 1]);
  });

  test("every change of a row has a larger rev than all before, also when the clock goes back", () => {
    let rows: OwnRows = new Map();
    let last = 0;
    const clock = [NOW_MS, NOW_MS, NOW_MS - 60_000, NOW_MS - 3_600_000, NOW_MS + 1];
    for (const [at, nowMs] of clock.entries()) {
      const state = at % 2 === 0 ? "healthy" : "starting";
      rows = step([published(1, { state }), published(2, { state, address: null })], rows, nowMs);
      const revs = [...rows.values()].map(({ record }) => record?.rev ?? 0);
      expect(Math.min(...revs)).toBeGreaterThan(last);
      expect(new Set(revs).size).toBe(2);
      last = Math.max(...revs);
    }
  });
});

describe("statements", () => {
  test("stopping after any transaction and starting anew converges, and rows of others are never touched", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(lists, { minLength: 1, maxLength: 8 }), fc.nat(7), async (history, restartAt) => {
        const store = new MemoryStore();
        const theirs = JSON.stringify({ ...published(99), rev: 5 });
        store.change("INSERT INTO containers (server_id, n, record) VALUES (?, 0, ?)", [OTHER, theirs]);
        let rows: OwnRows = new Map();
        for (const [at, list] of history.entries()) {
          if (at === restartAt) rows = parseOwnRows((await store.query(selectOwnRows(SELF))).rows);
          const changes = planMirror(list, rows, nextRev(largestRev(rows, NOW_MS), NOW_MS), NOW_MS);
          await store.transact(encodeRowChanges(SELF, changes));
          rows = applyRowChanges(rows, changes);
          expect(parseOwnRows((await store.query(selectOwnRows(SELF))).rows)).toEqual(new Map(rows));
        }
        expect(store.rows("SELECT n, record FROM containers WHERE server_id = ?", [OTHER])).toEqual([[0, theirs]]);
        expect(store.writes.every(({ params }) => (params as readonly unknown[])[0] === SELF)).toBe(true);
        expect(store.writes.some(({ sql }) => /REPLACE|DELETE/i.test(sql))).toBe(false);
      }),
      { numRuns: 40 },
    );
  });
});
