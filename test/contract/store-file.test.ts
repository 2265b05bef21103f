import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { whyNotReadable } from "../../src/node/own-store.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { readFigures } from "../../src/store/query/read-figures.ts";
import { rehearse } from "../../src/store/query/rehearsal.ts";
import { SqlRefused } from "../../src/store/sql-text.ts";
import { StoreFile } from "../../src/store/query/store-file.ts";
import type { StoreClient } from "../../src/store/store.ts";
import type { BoundValue, DecodedStatement } from "../../src/store/wire.ts";
import { systemFiles } from "../../src/system/files.ts";
import { IMPLEMENTATIONS, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

/** What `db query` does beside a store that runs: its file is read, and its writes are rehearsed. */
describe.each(IMPLEMENTATIONS)("the file of $name", ({ name, start }) => {
  let store: StoreUnderTest;
  let client: StoreClient;

  beforeAll(async () => {
    store = await start();
    client = openStoreClient({ url: store.url, token: TOKEN });
    await client.transact([
      { sql: "INSERT INTO servers (id, record) VALUES (?, ?)", params: ["s1", '{"name":"web1","subnet":3}'] },
      { sql: "INSERT INTO containers (server_id, n, record) VALUES ('s1', 0, ?)", params: ['{"service":"api"}'] },
    ]);
  });
  afterAll(() => store.close());

  function read(sql: string, params: readonly BoundValue[] = []): unknown[][] {
    const file = new StoreFile(store.path);
    try {
      return [...file.read({ sql, params }).rows].map((row) => [...row]);
    } finally {
      file.close();
    }
  }

  test("is read while the store writes, generated columns too", async () => {
    expect(read("SELECT name, subnet FROM servers")).toEqual([["web1", 3n]]);
    for (let n = 1; n <= 20; n++) {
      await client.transact([{ sql: "INSERT INTO containers (server_id, n) VALUES ('s1', ?)", params: [n] }]);
      expect(read("SELECT max(n), count(*) FROM containers")).toEqual([[BigInt(n), BigInt(n + 1)]]);
    }
  });

  test("a reader in the middle of its answer keeps no writer waiting", async () => {
    const file = new StoreFile(store.path);
    const rows = file.read({ sql: "SELECT n FROM containers", params: [] }).rows[Symbol.iterator]();
    expect(rows.next().value).toEqual([0n]);
    await client.transact([{ sql: "UPDATE containers SET record = 'x' WHERE n = 20" }]);
    expect(read("SELECT record FROM containers WHERE n = 20")).toEqual([["x"]]);
    rows.return?.();
    file.close();
  });

  // security-tests: sql-reads-tables
  test.each([
    "UPDATE servers SET sig = 'y'",
    "DELETE FROM servers",
    "ATTACH ':memory:' AS x",
    "PRAGMA user_version = 2",
    "VACUUM",
    "CREATE TABLE z (a)",
  ])("refuses %s", (sql) => expect(() => read(sql)).toThrow(SqlRefused));

  test.each<DecodedStatement>([
    { sql: "UPDATE servers SET sig = :sig WHERE subnet = 3", params: { ":sig": "signed" } },
    { sql: "INSERT INTO removed_servers (id, record) VALUES (?, ?)", params: ["gone", "{}"] },
    { sql: "DELETE FROM containers WHERE n > 10", params: [] },
    { sql: "DELETE FROM containers", params: [] },
  ])("what is rehearsed is what the store does: $sql", async (statement) => {
    const tables = ["servers", "removed_servers", "containers"];
    const columns: Readonly<Record<string, string>> = {
      servers: "id, record, sig",
      removed_servers: "id, record",
      containers: "server_id, n, record",
    };
    const state = (): Map<string, Set<string>> =>
      new Map(tables.map((table) => [table, new Set(read(`SELECT ${columns[table]} FROM ${table}`).map(text))]));
    const expected = state();
    const file = new StoreFile(store.path);
    const { differences, rowsAffected } = rehearse(file, statement);
    file.close();
    expect(differences.length).toBeGreaterThan(0);
    expect(state()).toEqual(expected);
    for (const { table, before, after } of differences) {
      if (before !== undefined) expected.get(table)?.delete(text(before));
      if (after !== undefined) expected.get(table)?.add(text(after));
    }
    const done = await client.transact([statement]);
    expect(state()).toEqual(expected);
    expect(done.results[0]?.rowsAffected).toBe(rowsAffected);
  });

  test("figures: rows, owners, and what Corrosion keeps beside them", async () => {
    await client.transact([
      { sql: "DELETE FROM removed_servers" },
      { sql: "INSERT INTO containers (server_id, n, record) VALUES ('s2', 0, 'x'), ('s2', 1, 'y')" },
    ]);
    const file = new StoreFile(store.path);
    const figures = readFigures(file.database);
    file.close();
    expect(figures.owners.map(({ id, rows }) => [id, rows])).toEqual([["s2", 2]]);
    expect(figures.servers.map(({ id, rows }) => [id, rows])).toEqual([["s1", 1]]);
    const containers = figures.tables.find((table) => table.name === "containers");
    expect(containers?.rows).toBe(2);
    expect(containers?.bytes).toBeGreaterThan(0);
    expect(figures.pages.bytes).toBeGreaterThan(10_000);
    if (!name.startsWith("Corrosion")) {
      expect(containers?.clock).toBeNull();
      expect(figures.replication).toBeNull();
      return;
    }
    // Each key that was ever there is remembered: 21 of s1, 2 of s2.
    expect(containers?.clock?.keys).toBe(23);
    expect(containers?.clock?.bytes).toBeGreaterThan(0);
    const { replication } = figures;
    expect(replication?.site).toMatch(/^[0-9a-f]{32}$/);
    expect(replication?.versions.find(({ site }) => site === replication.site)?.version).toBeGreaterThan(20);
    expect(replication?.missing).toBe(0);
  });

  test("is there again after a restart; a stopped Corrosion has taken its log away", async () => {
    const why = () => whyNotReadable(systemFiles, { path: store.path, unit: "jiji-x.service" });
    expect(await why()).toBeUndefined();
    await store.stop();
    if (name.startsWith("Corrosion"))
      expect(await why()).toStartWith("jiji-x.service does not run: it was stopped in good order");
    await store.restart();
    expect(await why()).toBeUndefined();
    expect(read("SELECT count(*) FROM servers")).toEqual([[1n]]);
  }, 40_000);
});

function text(row: readonly unknown[]): string {
  return JSON.stringify(row, (_key, value: unknown) => (typeof value === "bigint" ? Number(value) : value));
}
