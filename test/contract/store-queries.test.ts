import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openStoreClient } from "../../src/store/client.ts";
import { StoreError, type Row, type StoreClient } from "../../src/store/store.ts";
import { IMPLEMENTATIONS, sendRaw, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

const ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c";

describe.each(IMPLEMENTATIONS)("queries: $name", ({ start }) => {
  let store: StoreUnderTest;
  let client: StoreClient;

  beforeAll(async () => {
    store = await start();
    client = openStoreClient({ url: store.url, token: TOKEN });
    await client.transact([{ sql: "INSERT INTO notes (id, body, amount) VALUES ('a', 'x', 1), ('b', NULL, 2)" }]);
  });
  afterAll(() => store.close());

  test("columns and rows in the order that was asked for", async () => {
    const result = await client.query({ sql: "SELECT id, body, amount * 1.5 AS more FROM notes ORDER BY id DESC" });
    expect(result.columns).toEqual(["id", "body", "more"]);
    expect(result.rows).toEqual([
      ["b", null, 3],
      ["a", "x", 1.5],
    ]);
  });

  test("columns may have the same name, numbers as names, or names that mean something to JavaScript", async () => {
    const result = await client.query({ sql: 'SELECT 2 AS "2", 1 AS "1", 3 AS a, 4 AS a, 5 AS "__proto__"' });
    expect(result).toEqual({ columns: ["2", "1", "a", "a", "__proto__"], rows: [[2, 1, 3, 4, 5]] });
  });

  test("no rows have columns too", async () => {
    expect(await client.query({ sql: "SELECT id FROM notes WHERE 0" })).toEqual({ columns: ["id"], rows: [] });
  });

  test("parameters, by place and by name", async () => {
    const sql = "SELECT typeof(?1), ?2, ?1";
    expect((await client.query({ sql, params: [true, "x"] })).rows).toEqual([["integer", "x", 1]]);
    const named = { sql: "SELECT :a, :a || '!', @b", params: { ":a": "x", "@b": new Uint8Array([1]) } };
    expect((await client.query(named)).rows).toEqual([["x", "x!", new Uint8Array([1])]]);
  });

  test("other ways to look", async () => {
    expect((await client.query({ sql: "VALUES (1), (2)" })).rows).toEqual([[1], [2]]);
    expect((await client.query({ sql: "PRAGMA table_info(notes)" })).rows.map((row) => row[1])).toEqual([
      "id",
      "body",
      "amount",
    ]);
    expect((await client.query({ sql: "EXPLAIN QUERY PLAN SELECT 1 FROM notes" })).rows).not.toEqual([]);
  });

  test.each([
    ["a table that is not there", "SELECT * FROM nowhere", 400],
    ["what is no SQL", "SELEC", 400],
    ["an INSERT", "INSERT INTO notes (id) VALUES ('z')", 400],
    ["an UPDATE behind a WITH", "WITH x AS (SELECT 1) UPDATE notes SET body = 1", 400],
    ["a DELETE with RETURNING", "DELETE FROM notes RETURNING id", 400],
    ["a PRAGMA that writes", "PRAGMA user_version = 7", 400],
    ["VACUUM", "VACUUM", 400],
    ["two statements", "SELECT 1; SELECT 2", 400],
    ["a missing value", "SELECT ?", 500],
  ])("refuses %s before anything of an answer", async (_what, sql, status) => {
    const error = await client.query({ sql }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ name: "StoreError", status });
    expect((error as StoreError).message).toContain('{"error":');
    expect((await client.query({ sql: "SELECT count(*) FROM notes" })).rows).toEqual([[2]]);
  });

  test("refuses names that the statement does not have, and values too many", async () => {
    for (const params of [{ ":b": 1 }, { a: 1 }, [1, 2]]) {
      await expect(client.query({ sql: "SELECT :a", params })).rejects.toMatchObject({ status: 500 });
    }
  });

  test("an error in the middle is an error, not an end", async () => {
    const sql = "SELECT id, CASE id WHEN 'b' THEN json('{') ELSE 1 END FROM notes ORDER BY id";
    const seen: Row[] = [];
    const read = async (): Promise<void> => {
      for await (const row of await client.stream({ sql })) seen.push(row);
    };
    const error = await read().catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(StoreError);
    expect((error as StoreError).message).toContain("malformed JSON");
    expect((error as StoreError).status).toBeUndefined();
    expect(seen).toEqual([["a", 1]]);
  });

  test("its time is limited", async () => {
    const started = performance.now();
    let seen: Row = [];
    const read = async (): Promise<void> => {
      const stream = await client.stream({ sql: ENDLESS }, { timeoutSeconds: 1 });
      for await (const row of stream) seen = row;
    };
    await expect(read()).rejects.toBeInstanceOf(StoreError);
    expect(performance.now() - started).toBeLessThan(4000);
    expect(seen).toHaveLength(1);
  });

  test("a long answer may be left at any time", async () => {
    const stream = await client.stream({ sql: ENDLESS });
    expect(stream.columns).toEqual(["x"]);
    let count = 0;
    for await (const [x] of stream) {
      count += 1;
      if (x !== count || count === 5000) break;
    }
    expect(count).toBe(5000);
    expect((await client.query({ sql: "SELECT 1" })).rows).toEqual([[1]]);
  });

  test("a reader may cancel it", async () => {
    const controller = new AbortController();
    const read = async (): Promise<void> => {
      for await (const [x] of await client.stream({ sql: ENDLESS }, { signal: controller.signal })) {
        if (x === 1000) controller.abort();
      }
    };
    await expect(read()).rejects.toBeInstanceOf(StoreError);
  });

  test("large cells and many rows", async () => {
    const long = "ä".repeat(300_000);
    const big = new Uint8Array(200_000).fill(200);
    await client.transact([{ sql: "INSERT INTO notes (id, body) VALUES ('l', ?), ('m', ?)", params: [long, big] }]);
    const { rows } = await client.query({ sql: "SELECT body FROM notes WHERE id IN ('l', 'm') ORDER BY id" });
    expect(rows[0]?.[0]).toBe(long);
    expect(rows[1]?.[0]).toEqual(big);
    await client.transact([{ sql: "DELETE FROM notes WHERE id IN ('l', 'm')" }]);
    const many = await client.query({ sql: `${ENDLESS} LIMIT 20000` });
    expect(many.rows).toHaveLength(20_000);
    expect(many.rows.at(-1)).toEqual([20_000]);
  });

  test("three hundred at the same time, more than the store would take at once", async () => {
    const ask = async (n: number) => (await client.query({ sql: "SELECT ?", params: [n] })).rows[0]?.[0];
    const numbers = Array.from({ length: 300 }, (_, n) => n);
    expect(await Promise.all(numbers.map(ask))).toEqual(numbers);
  });

  test("what was written is there for the next question", async () => {
    for (let n = 0; n < 20; n++) {
      await client.transact([{ sql: "UPDATE notes SET amount = ? WHERE id = 'a'", params: [100 + n] }]);
      const { rows } = await client.query({ sql: "SELECT amount FROM notes WHERE id = 'a'" });
      expect(rows).toEqual([[100 + n]]);
    }
  });

  test("rows are numbered from 1, and the end mark comes last", async () => {
    const { body } = await sendRaw(store.url, { path: "/v1/queries", body: '"SELECT id FROM notes ORDER BY id"' });
    const lines = body.trimEnd().split("\n");
    expect(lines.slice(0, 3)).toEqual(['{"columns":["id"]}', '{"row":[1,["a"]]}', '{"row":[2,["b"]]}']);
    expect(lines[3]).toMatch(/^\{"eoq":\{"time":[0-9.e-]+\}\}$/);
    expect(lines).toHaveLength(4);
  });
});
