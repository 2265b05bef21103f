import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { makeStoreFile, type MadeStoreFile } from "../../../test/store-file-maker.ts";
import { rehearse, type Rehearsal } from "./rehearsal.ts";
import { SqlRefused } from "../sql-text.ts";
import { StoreFile } from "./store-file.ts";
import type { BoundValue } from "../wire.ts";

let made: MadeStoreFile;
let file: StoreFile;

beforeEach(() => {
  made = makeStoreFile();
  file = new StoreFile(made.path);
});
afterEach(() => {
  file.close();
  made.remove();
});

function run(sql: string, params: readonly BoundValue[] = []): Rehearsal {
  return rehearse(file, { sql, params });
}

function rows(table: string): unknown[][] {
  return made.writer.query(`SELECT * FROM ${table}`).values();
}

describe("says what would change, and changes nothing", () => {
  test("an insert, an update and a delete", () => {
    const before = rows("containers");
    const insert = run("INSERT INTO containers (server_id, n, record) VALUES (?, 9, '')", ["s1"]);
    expect(insert).toEqual({
      differences: [
        { table: "containers", columns: ["server_id", "n", "record"], before: undefined, after: ["s1", 9n, ""] },
      ],
      rowsAffected: 1,
      changingFunction: undefined,
    });
    const update = run("UPDATE servers SET sig = 'y' WHERE id = 's1'");
    expect(update.differences.map(({ before, after }) => [before?.at(-1), after?.at(-1)])).toEqual([["x", "y"]]);
    expect(run("DELETE FROM containers").differences.map(({ after }) => after)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(run("DELETE FROM containers WHERE n > 0").rowsAffected).toBe(2);
    expect(rows("containers")).toEqual(before);
  });

  test("equal values are no difference, though they count", () => {
    expect(run("UPDATE servers SET sig = sig")).toMatchObject({ differences: [], rowsAffected: 1 });
  });

  test("an upsert, a REPLACE, and a WITH before it", () => {
    const upsert = "INSERT INTO servers (id, sig) VALUES ('s1', 'z') ON CONFLICT (id) DO UPDATE SET sig = excluded.sig";
    expect(run(upsert).differences).toHaveLength(1);
    expect(run("REPLACE INTO servers (id) VALUES ('s1')").differences[0]?.after).toEqual(["s1", "", ""]);
    const removal = "WITH old AS (SELECT n FROM containers WHERE n > 1) DELETE FROM containers WHERE n IN old";
    expect(run(removal).differences).toHaveLength(1);
  });

  test("a value that will be another one is named", () => {
    expect(run("UPDATE servers SET sig = random()").changingFunction).toMatch(/^random\(/);
    expect(run("UPDATE servers SET sig = datetime('now')").changingFunction).toMatch(/^datetime\(/);
    for (const value of ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "last_insert_rowid()", "changes()"]) {
      expect(run(`UPDATE servers SET sig = ${value}`).changingFunction).toBe(
        `${value.toLowerCase().replace("()", "")}(0)`,
      );
    }
    expect(run("UPDATE servers SET sig = upper('random()')").changingFunction).toBeUndefined();
  });
});

// security-tests: sql-writes-rows
test.each([
  "CREATE TABLE x (a)",
  "/* UPDATE servers SET sig = 1 */ CREATE TABLE x (a)",
  "CREATE TABLE IF NOT EXISTS servers (a)",
  "CREATE TABLE x AS SELECT * FROM servers",
  "CREATE TEMP TABLE x (a)",
  "CREATE INDEX i ON servers (sig)",
  "CREATE UNIQUE INDEX i ON servers (sig)",
  "CREATE VIEW v AS SELECT 1",
  "CREATE TRIGGER t AFTER INSERT ON servers BEGIN DELETE FROM servers; END",
  "CREATE TEMP TRIGGER t AFTER INSERT ON servers BEGIN DELETE FROM servers; END",
  "CREATE VIRTUAL TABLE f USING fts5(a)",
  "DROP TABLE servers",
  "DROP TABLE IF EXISTS nowhere",
  "DROP INDEX containers_by_service",
  "ALTER TABLE servers ADD COLUMN x",
  "ALTER TABLE servers RENAME TO y",
  "ALTER TABLE servers RENAME COLUMN sig TO y",
  "ALTER TABLE servers DROP COLUMN sig",
  "UPDATE sqlite_schema SET sql = ''",
  "DELETE FROM sqlite_schema",
  "PRAGMA writable_schema = 1",
  "PRAGMA user_version = 3",
  "PRAGMA journal_mode = DELETE",
  "PRAGMA foreign_keys = 1",
  "ANALYZE",
  "VACUUM",
  "VACUUM INTO '/tmp/elsewhere.db'",
  "ATTACH '/etc/passwd' AS other",
  "DETACH main",
  "BEGIN",
  "BEGIN IMMEDIATE",
  "COMMIT",
  "SAVEPOINT a",
  "SELECT * FROM servers",
  "VALUES (1)",
  "EXPLAIN UPDATE servers SET sig = 1",
  "UPDATE servers SET sig = 1 RETURNING id",
  "UPDATE servers SET sig = load_extension('/tmp/x')",
  "UPDATE servers SET name = 'web2'",
  "UPDATE servers SET sig = 1; DROP TABLE servers",
  "INSERT INTO servers (id) VALUES ('s1')",
  "UPDATE nowhere SET a = 1",
  "UPDAT servers",
  "",
])("refused: %s", (sql) => expect(() => run(sql)).toThrow(SqlRefused));

test("REINDEX writes no row, and is refused or changes nothing", () => {
  const outcome = (() => {
    try {
      return run("REINDEX").differences.length;
    } catch (error) {
      return error instanceof SqlRefused ? 0 : error;
    }
  })();
  expect(outcome).toBe(0);
});

const id = fc.constantFrom("s1", "s2", "it's", "é", "");
const statement = fc.oneof(
  fc.record({
    sql: fc.constant("INSERT OR REPLACE INTO containers (server_id, n, record) VALUES (?, ?, ?)"),
    params: fc.tuple(id, fc.integer({ min: 0, max: 4 }), fc.string({ maxLength: 8 })),
  }),
  fc.record({
    sql: fc.constant("UPDATE containers SET record = record || ? WHERE n >= ?"),
    params: fc.tuple(fc.string({ maxLength: 8 }), fc.integer({ min: 0, max: 4 })),
  }),
  fc.record({ sql: fc.constant("DELETE FROM containers WHERE n < ?"), params: fc.tuple(fc.integer({ max: 4 })) }),
  fc.record({ sql: fc.constant("INSERT OR IGNORE INTO servers (id) VALUES (?)"), params: fc.tuple(id) }),
);

// security-tests: sql-writes-rows
test("what the rehearsal says is what the statement does", () => {
  fc.assert(
    fc.property(fc.array(statement, { maxLength: 6 }), (statements) => {
      for (const { sql, params } of statements) {
        const state = new Map(["servers", "containers"].map((table) => [table, stored(table)]));
        for (const { table, before, after } of run(sql, params).differences) {
          const known = state.get(table)!;
          if (before !== undefined) expect(known.delete(text(before))).toBe(true);
          if (after !== undefined) known.add(text(after));
        }
        made.writer.query(sql).run(...(params as string[]));
        for (const [table, expected] of state) expect(stored(table)).toEqual(expected);
      }
    }),
    { numRuns: 30 },
  );
});

function stored(table: string): Set<string> {
  const columns = table === "servers" ? "id, record, sig" : "server_id, n, record";
  const values = made.writer.query(`SELECT ${columns} FROM ${table}`).values();
  return new Set(values.map(text));
}

function text(row: readonly unknown[]): string {
  return JSON.stringify(row, (_key, value: unknown) => (typeof value === "bigint" ? Number(value) : value));
}
