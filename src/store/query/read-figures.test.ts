import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { makeStoreFile, type MadeStoreFile } from "../../../test/store-file-maker.ts";
import { storeFiguresSchema, type StoreFigures } from "../../model/store-figures.ts";
import { readFigures } from "./read-figures.ts";
import { StoreFile } from "./store-file.ts";

let made: MadeStoreFile;

beforeEach(() => (made = makeStoreFile()));
afterEach(() => made.remove());

function figures(): StoreFigures {
  const file = new StoreFile(made.path);
  try {
    return storeFiguresSchema.parse(readFigures(file.database));
  } finally {
    file.close();
  }
}

test("a store without replication", () => {
  const now = figures();
  expect(now.tables.map(({ name, rows, clock }) => [name, rows, clock])).toEqual([
    ["servers", 1, null],
    ["removed_servers", 0, null],
    ["containers", 3, null],
  ]);
  expect(now.owners).toEqual([{ id: "s1", rows: 3, digest: expect.stringMatching(/^[0-9a-f]{16}$/) }]);
  expect(now.removed.rows).toBe(0);
  expect(now.replication).toBeNull();
  expect(now.unlisted).toBe(0);
});

describe("digests", () => {
  test("depend on what the rows say, not on when they were written", () => {
    const before = figures().owners;
    made.writer.run("DELETE FROM containers WHERE n = 1");
    expect(figures().owners).not.toEqual(before);
    made.writer.run(
      `INSERT INTO containers (server_id, n, record) VALUES ('s1', 1, '{"project":"shop","service":"api1","rev":1}')`,
    );
    expect(figures().owners).toEqual(before);
    made.writer.run("UPDATE containers SET record = record || ' ' WHERE n = 2");
    expect(figures().owners).not.toEqual(before);
  });

  test("one owner's rows do not touch another's", () => {
    const [s1] = figures().owners;
    made.writer.run("INSERT INTO containers (server_id, n) VALUES ('s0', 0), ('s2', 0)");
    expect(figures().owners.find(({ id }) => id === "s1")).toEqual(s1);
  });
});

test("a row that was emptied counts nowhere, whether the store still has it or not", () => {
  const before = figures();
  made.writer.run("INSERT INTO containers (server_id, n) VALUES ('s1', 90)");
  expect(figures().owners).toEqual(before.owners);
  expect(figures().tables.map(({ rows }) => rows)).toEqual(before.tables.map(({ rows }) => rows));
});

test("more owners than a mesh can have are counted, not listed", () => {
  const sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1500)";
  made.writer.run(`INSERT INTO containers (server_id, n, record) ${sql} SELECT 'forged' || x, 0, 'x' FROM c`);
  const now = figures();
  expect(now.owners).toHaveLength(1000);
  expect(now.unlisted).toBe(501);
});

test("tables of a store that look otherwise than expected are left out", () => {
  made.writer.run("CREATE TABLE crsql_db_versions (something)");
  made.writer.run("CREATE TABLE containers__crsql_clock (something)");
  expect(figures().replication).toBeNull();
  made.writer.run("DROP TABLE crsql_db_versions");
  made.writer.run("CREATE TABLE crsql_db_versions (site_id BLOB, db_version INTEGER)");
  made.writer.run("INSERT INTO crsql_db_versions VALUES (x'0AFF', 7)");
  made.writer.run("CREATE TABLE __corro_members (foca_state)");
  made.writer.run(
    `INSERT INTO __corro_members VALUES ('{"state":"Alive"}'), ('{"state":"Down"}'), ('not json'), (NULL)`,
  );
  expect(figures().replication).toEqual({
    site: null,
    versions: [{ site: "0aff", version: 7 }],
    missing: 0,
    members: { Alive: 1, Down: 1, unknown: 2 },
  });
});
