import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openStoreClient } from "../../src/store/client.ts";
import { StoreError, type SqlValue, type StoreClient } from "../../src/store/store.ts";
import { IMPLEMENTATIONS, sendRaw, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

const INSERT = "INSERT INTO notes (id, body, amount) VALUES (?, ?, ?)";

describe.each(IMPLEMENTATIONS)("transactions: $name", ({ start }) => {
  let store: StoreUnderTest;
  let client: StoreClient;

  beforeAll(async () => {
    store = await start();
    client = openStoreClient({ url: store.url, token: TOKEN });
  });
  afterAll(() => store.close());

  const write = (sql: string, params?: readonly SqlValue[] | Record<string, SqlValue>) =>
    client.transact([params === undefined ? { sql } : { sql, params }]);
  const read = async (sql: string, params: readonly SqlValue[] = []) => (await client.query({ sql, params })).rows;

  test("insert, update and delete say how many rows they met, and the version grows", async () => {
    const inserted = await client.transact([
      { sql: INSERT, params: ["counts-1", "x", 1] },
      { sql: INSERT, params: ["counts-2", "x", 1] },
    ]);
    const updated = await write("UPDATE notes SET body = ? WHERE id LIKE 'counts-%'", ["y"]);
    const deleted = await write("DELETE FROM notes WHERE id LIKE 'counts-%'");
    expect(inserted.results).toEqual([{ rowsAffected: 1 }, { rowsAffected: 1 }]);
    expect(updated.results).toEqual([{ rowsAffected: 2 }]);
    expect(deleted.results).toEqual([{ rowsAffected: 2 }]);
    const versions = [inserted, updated, deleted].map(({ version }) => version ?? 0);
    expect(versions[1]).toBeGreaterThan(versions[0] ?? 0);
    expect(versions[2]).toBeGreaterThan(versions[1] ?? 0);
  });

  test("an update to equal values is no change", async () => {
    await write(INSERT, ["equal", "same", 1]);
    const again = await write("UPDATE notes SET body = 'same', amount = 1 WHERE id = 'equal'");
    expect(again).toEqual({ results: [{ rowsAffected: 1 }], version: null });
    const upsert = await write(`${INSERT} ON CONFLICT (id) DO UPDATE SET body = excluded.body`, ["equal", "same", 1]);
    expect(upsert.version).toBeNull();
    expect((await write("DELETE FROM notes WHERE id = 'nobody'")).version).toBeNull();
  });

  test("all or nothing", async () => {
    const failing = client.transact([
      { sql: INSERT, params: ["whole-1", null, null] },
      { sql: INSERT, params: ["whole-1", null, null] },
    ]);
    const error = await failing.catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(StoreError);
    expect((error as StoreError).status).toBe(500);
    expect((error as StoreError).message).toContain("UNIQUE constraint failed: notes.id");
    expect(await read("SELECT 1 FROM notes WHERE id = 'whole-1'")).toEqual([]);
  });

  test("values of every kind come back as they were", async () => {
    const values: SqlValue[] = [
      null,
      0,
      -1,
      2 ** 31,
      Number.MAX_SAFE_INTEGER,
      1.5,
      -1e300,
      "",
      "ö\u0001\u2028😀'\"\\",
      new Uint8Array(),
      new Uint8Array([0, 1, 255]),
    ];
    await client.transact(values.map((value, index) => ({ sql: INSERT, params: [`kind-${index}`, value, null] })));
    const rows = await read("SELECT body FROM notes WHERE id LIKE 'kind-%' ORDER BY CAST(substr(id, 6) AS INTEGER)");
    expect(rows.map(([value]) => value)).toEqual(values);
    await write(INSERT, ["yes", true, false]);
    expect(await read("SELECT body, amount, typeof(body) FROM notes WHERE id = 'yes'")).toEqual([[1, 0, "integer"]]);
  });

  test("integers beyond 2^53 stay exact, as text", async () => {
    const body = `[["${INSERT}", ["long", 9223372036854775807, -9007199254740993]]]`;
    expect((await sendRaw(store.url, { path: "/v1/transactions", body })).status).toBe(200);
    const [row] = await read("SELECT body, amount, typeof(body) FROM notes WHERE id = 'long'");
    expect(row).toEqual(["9223372036854775807", "-9007199254740993", "integer"]);
  });

  test("named parameters of all three kinds", async () => {
    await write("INSERT INTO notes (id, body, amount) VALUES (:id, @body, $amount)", {
      ":id": "named",
      "@body": new Uint8Array([7]),
      $amount: 3,
    });
    expect(await read("SELECT body, amount FROM notes WHERE id = 'named'")).toEqual([[new Uint8Array([7]), 3]]);
  });

  test("the two shapes with names, as other clients send them", async () => {
    const statements = [
      { query: INSERT, params: ["shape-1", "a", 1] },
      { query: "UPDATE notes SET body = :b WHERE id = 'shape-1'", named_params: { ":b": "c" } },
    ];
    const { status } = await sendRaw(store.url, { path: "/v1/transactions", body: JSON.stringify(statements) });
    expect(status).toBe(200);
    expect(await read("SELECT body FROM notes WHERE id = 'shape-1'")).toEqual([["c"]]);
  });

  test.each([
    ["too few values", "UPDATE notes SET body = ? WHERE id = ?", ["x"]],
    ["too many values", "UPDATE notes SET body = ?", ["x", "y"]],
    ["no values", "UPDATE notes SET body = ?", undefined],
    ["a name that it does not have", "UPDATE notes SET body = :a", { ":b": "x" }],
    ["a name without its prefix", "UPDATE notes SET body = :a", { a: "x" }],
    ["a SELECT", "SELECT 1", undefined],
    ["RETURNING", "UPDATE notes SET body = 1 RETURNING id", undefined],
    ["two statements", "UPDATE notes SET body = 1; DELETE FROM notes", undefined],
    ["no statement", "", undefined],
    ["no SQL", "NONSENSE", undefined],
    ["an unknown table", "DELETE FROM nowhere", undefined],
    ["an unknown column", "UPDATE notes SET colour = 1", undefined],
    ["a write to a generated column", "UPDATE containers SET service = 'x'", undefined],
    ["a key that is NULL", "INSERT INTO notes (id) VALUES (NULL)", undefined],
    ["BEGIN", "BEGIN", undefined],
    ["COMMIT", "COMMIT", undefined],
  ])("refuses %s, and goes on working", async (_what, sql, params) => {
    await write(`${INSERT} ON CONFLICT (id) DO NOTHING`, ["kept", "kept", 0]);
    const before = await read("SELECT count(*), max(body = 'kept') FROM notes");
    await expect(write(sql, params)).rejects.toMatchObject({ name: "StoreError", status: 500 });
    expect(await read("SELECT count(*), max(body = 'kept') FROM notes")).toEqual(before);
    expect((await write("UPDATE notes SET amount = amount + 1 WHERE id = 'kept'")).version).not.toBeNull();
  });

  test("a semicolon and comments may follow, and a semicolon may be inside", async () => {
    const sql = "/* ; */ INSERT INTO notes (id, body) VALUES ('semi;', ';') ; -- ; done";
    expect((await write(sql)).results).toEqual([{ rowsAffected: 1 }]);
    expect(await read("SELECT body FROM notes WHERE id = ?", ["semi;"])).toEqual([[";"]]);
  });

  test("no statement at all is refused", async () => {
    await expect(client.transact([])).rejects.toMatchObject({ name: "StoreError", status: 400 });
  });

  test("transactions at the same time happen one after another", async () => {
    await write(INSERT, ["sum", null, 0]);
    const add = () => write("UPDATE notes SET amount = amount + 1 WHERE id = 'sum'");
    const done = await Promise.all(Array.from({ length: 25 }, add));
    expect(await read("SELECT amount FROM notes WHERE id = 'sum'")).toEqual([[25]]);
    expect(new Set(done.map(({ version }) => version)).size).toBe(25);
  });

  test("generated columns show what the record holds, and nothing when it does not parse", async () => {
    const insert = "INSERT INTO containers (server_id, n, record) VALUES ('generated', ?, ?)";
    const records = ['{"project":"p","service":"web","address":"10.210.1.2","rev":7}', "", "{", "[1]", '{"rev":"x"}'];
    await client.transact(records.map((record, n) => ({ sql: insert, params: [n, record] })));
    const sql = "SELECT project, service, address, rev FROM containers WHERE server_id = 'generated' ORDER BY n";
    const none = [null, null, null, null];
    expect(await read(sql)).toEqual([["p", "web", "10.210.1.2", 7], none, none, none, [null, null, null, "x"]]);
    const found = await read("SELECT n FROM containers WHERE project = ? AND service = ?", ["p", "web"]);
    expect(found).toEqual([[0]]);
  });

  test("a transaction that was cancelled before it was sent does nothing", async () => {
    const cancelled = client.transact([{ sql: INSERT, params: ["never", 1, 1] }], { signal: AbortSignal.abort() });
    await expect(cancelled).rejects.toBeInstanceOf(StoreError);
    expect(await read("SELECT 1 FROM notes WHERE id = 'never'")).toEqual([]);
  });
});
