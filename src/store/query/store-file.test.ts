import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { makeStoreFile, type MadeStoreFile } from "../../../test/store-file-maker.ts";
import { SqlRefused } from "../sql-text.ts";
import { StoreFile, StoreFileAway, WritesRefused } from "./store-file.ts";
import type { BoundValue } from "../wire.ts";

let made: MadeStoreFile;

beforeAll(() => (made = makeStoreFile()));
afterAll(() => made.remove());

function read(sql: string, params: readonly BoundValue[] = []): { columns: readonly string[]; rows: unknown[][] } {
  const file = new StoreFile(made.path);
  try {
    const { columns, rows } = file.read({ sql, params });
    return { columns, rows: [...rows].map((row) => [...row]) };
  } finally {
    file.close();
  }
}

describe("reads", () => {
  test.each([
    ["SELECT service FROM containers ORDER BY n DESC", [["api2"], ["api1"], ["api0"]]],
    ["SELECT n, n, service FROM containers ORDER BY n DESC LIMIT 1 -- the newest", [[2n, 2n, "api2"]]],
    ['SELECT 1 AS "__proto__", 2 AS "__proto__"', [[1n, 2n]]],
    ["VALUES (1, NULL);", [[1n, null]]],
    ["WITH a AS (SELECT 1 AS b) SELECT b FROM a", [[1n]]],
    ["SELECT 9223372036854775807, x'00ff', 1.5", [[9_223_372_036_854_775_807n, new Uint8Array([0, 255]), 1.5]]],
    ["SELECT name FROM pragma_table_info('servers') LIMIT 1", [["id"]]],
    ["SELECT count(*) FROM servers WHERE 0", [[0n]]],
  ])("%s", (sql, rows) => expect(read(sql).rows).toEqual(rows));

  test("EXPLAIN of anything, and PRAGMAs that look", () => {
    expect(read("EXPLAIN DELETE FROM servers").columns).toContain("opcode");
    expect(read("EXPLAIN QUERY PLAN SELECT 1").columns).toContain("detail");
    expect(read("PRAGMA table_info(servers)").rows.length).toBeGreaterThan(2);
    expect(read("SELECT count(*) FROM servers").rows).toEqual([[1n]]);
  });

  test("parameters", () => {
    expect(read("SELECT n FROM containers WHERE service = ?", ["api1"]).rows).toEqual([[1n]]);
    expect(() => read("SELECT ?, ?", [1])).toThrow("Wrong number of parameters");
  });

  test("what the store writes meanwhile is seen by the next one", () => {
    made.writer.run("INSERT INTO removed_servers (id) VALUES ('gone')");
    expect(read("SELECT id FROM removed_servers").rows).toEqual([["gone"]]);
    made.writer.run("DELETE FROM removed_servers");
  });
});

// security-tests: sql-reads-tables
test.each([
  "INSERT INTO servers (id) VALUES ('z')",
  "UPDATE servers SET record = ''",
  "DELETE FROM servers",
  "DELETE FROM servers RETURNING id",
  "WITH x AS (SELECT 1) DELETE FROM servers",
  "REPLACE INTO servers (id) VALUES ('z')",
  "CREATE TABLE x (a)",
  "CREATE TEMP TABLE x (a)",
  "CREATE TABLE x AS SELECT * FROM servers",
  "DROP TABLE servers",
  "ALTER TABLE servers ADD COLUMN x",
  "VACUUM",
  "VACUUM INTO '/tmp/elsewhere.db'",
  "ANALYZE",
  "REINDEX",
])("writes are refused, and told apart: %s", (sql) => expect(() => read(sql)).toThrow(WritesRefused));

// security-tests: sql-reads-tables
test.each([
  "ATTACH '/etc/passwd' AS other",
  "ATTACH ':memory:' AS other",
  "DETACH main",
  "BEGIN",
  "COMMIT",
  "SAVEPOINT a",
  "PRAGMA user_version = 7",
  "PRAGMA main.user_version = 7",
  "PRAGMA journal_mode = DELETE",
  "PRAGMA journal_mode",
  "PRAGMA writable_schema = 1",
  "PRAGMA query_only = 0",
  "EXPLAIN PRAGMA query_only = 0",
  "EXPLAIN QUERY PLAN PRAGMA writable_schema = 1",
  "PRAGMA wal_checkpoint(TRUNCATE)",
  "PRAGMA temp_store_directory = '/tmp'",
  "SELECT load_extension('/tmp/evil.so')",
  "SELECT fts3_tokenizer('simple')",
  "SELECT readfile('/etc/passwd')",
  "SELECT writefile('/tmp/x', 'y')",
  "SELECT 1; SELECT 2",
  "SELECT 1; DROP TABLE servers",
  "SELECT 1\0; DROP TABLE servers",
  "",
  " -- nothing",
  ";",
  "SELEC",
  "SELECT 'open",
  "SELECT * FROM nowhere",
  "UPDATE sqlite_schema SET sql = ''",
  "SELECT * FROM other.servers",
])("refused: %s", (sql) => {
  expect(() => read(sql)).toThrow(SqlRefused);
  expect(readdirSync(made.folder).toSorted()).toEqual(["state.db", "state.db-shm", "state.db-wal"]);
  expect(read("SELECT count(*) FROM servers").rows).toEqual([[1n]]);
});

test("a row is made when it is asked for: an endless answer can be left", () => {
  const file = new StoreFile(made.path);
  const sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, x FROM c";
  let last: unknown;
  for (const [x] of file.read({ sql, params: [] }).rows) {
    last = x;
    if (x === 5000n) break;
  }
  expect(last).toBe(5000n);
  file.close();
});

test("an error in the middle comes after the rows before it", () => {
  const file = new StoreFile(made.path);
  const sql = "SELECT CASE n WHEN 2 THEN json('{') ELSE n END AS v FROM containers ORDER BY server_id, n";
  const seen: unknown[] = [];
  const all = (): void => {
    for (const [value] of file.read({ sql, params: [] }).rows) seen.push(value);
  };
  expect(all).toThrow("malformed JSON");
  expect(seen).toEqual([0n, 1n]);
  file.close();
});

test("no file, no database, or one whose store has ended", () => {
  expect(() => new StoreFile("/nowhere/state.db")).toThrow(StoreFileAway);
  expect(() => new StoreFile("/etc/passwd")).toThrow(StoreFileAway);
  const other = makeStoreFile();
  other.close();
  expect(existsSync(join(other.folder, "state.db-wal"))).toBe(false);
  other.remove();
});
