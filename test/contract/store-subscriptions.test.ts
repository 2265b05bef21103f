import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openStoreClient } from "../../src/store/client.ts";
import { SUBSCRIPTIONS } from "../../src/store/queries.ts";
import type { SqlValue, StoreClient, SubscriptionEvent } from "../../src/store/store.ts";
import { eventsOf, IMPLEMENTATIONS, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

const INSERT = "INSERT INTO notes (id, body, amount) VALUES (?, ?, ?)";
/** A subscription of one test alone, by the beginning of its keys. */
const notesOf = (prefix: string) => ({ sql: "SELECT id, body FROM notes WHERE id LIKE ?", params: [`${prefix}%`] });

describe.each(IMPLEMENTATIONS)("subscriptions: $name", ({ start }) => {
  let store: StoreUnderTest;
  let client: StoreClient;

  beforeAll(async () => {
    store = await start();
    client = openStoreClient({ url: store.url, token: TOKEN });
  });
  afterAll(async () => {
    client.close();
    await store.close();
  });

  const write = (sql: string, params: readonly SqlValue[] = []) => client.transact([{ sql, params }]);
  const subscribe = async (sql: string, params?: readonly SqlValue[]) => {
    const subscription = await client.subscribe(params === undefined ? { sql } : { sql, params });
    return { id: subscription.id, ...eventsOf(subscription), close: () => subscription.close() };
  };
  const change = (
    kind: "insert" | "update" | "delete",
    rowId: number,
    values: readonly SqlValue[],
    changeId: number,
  ): SubscriptionEvent => ({ type: "change", change: kind, rowId, values, changeId });

  test.concurrent("a snapshot, then each change with its row's id and all values", async () => {
    await write(`${INSERT}, ('life-2', 'b', 0)`, ["life-1", "a", 0]);
    const { sql, params } = notesOf("life-");
    const notes = await subscribe(sql, params);
    expect(await notes.snapshot()).toEqual([
      { type: "columns", columns: ["id", "body"] },
      { type: "row", rowId: 1, values: ["life-1", "a"] },
      { type: "row", rowId: 2, values: ["life-2", "b"] },
      { type: "ready", changeId: 0 },
    ]);
    await write(INSERT, ["life-3", "c", 0]);
    expect(await notes.next()).toEqual(change("insert", 3, ["life-3", "c"], 1));
    await write("UPDATE notes SET body = 'B' WHERE id = 'life-2'");
    expect(await notes.next()).toEqual(change("update", 2, ["life-2", "B"], 2));
    await write("DELETE FROM notes WHERE id = 'life-1'");
    expect(await notes.next()).toEqual(change("delete", 1, ["life-1", "a"], 3));
    notes.close();
    expect(await notes.next()).toBeUndefined();
  });

  test.concurrent("one transaction's changes all come, numbered without a gap", async () => {
    const { sql, params } = notesOf("many-");
    const notes = await subscribe(sql, params);
    await notes.snapshot();
    const ids = Array.from({ length: 300 }, (_, n) => `many-${n}`);
    await client.transact(ids.map((id) => ({ sql: INSERT, params: [id, "x", 0] })));
    const events = [];
    for (const _ of ids) events.push(await notes.next());
    const changes = events.filter((event) => event?.type === "change");
    expect(changes.map((event) => event.changeId)).toEqual(ids.map((_, n) => n + 1));
    expect(new Set(changes.map((event) => event.values[0]))).toEqual(new Set(ids));
    expect(new Set(changes.map((event) => event.rowId)).size).toBe(300);
    notes.close();
  });

  test.concurrent("equal statements are one subscription", async () => {
    const first = await subscribe("SELECT body FROM notes WHERE id = ?", ["shared"]);
    await first.snapshot();
    await write(INSERT, ["shared", "x", 0]);
    expect(await first.next()).toEqual(change("insert", 1, ["x"], 1));
    const second = await subscribe("SELECT body FROM notes WHERE id = ?", ["shared"]);
    const other = await subscribe("SELECT body FROM notes WHERE id = ?", ["not shared"]);
    expect(first.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    expect(second.id).toBe(first.id);
    expect(other.id).not.toBe(first.id);
    expect(await second.snapshot()).toEqual([
      { type: "columns", columns: ["body"] },
      { type: "row", rowId: 1, values: ["x"] },
      { type: "ready", changeId: 1 },
    ]);
    await write("DELETE FROM notes WHERE id = 'shared'");
    for (const listener of [first, second]) expect(await listener.next()).toEqual(change("delete", 1, ["x"], 2));
    for (const listener of [first, second, other]) listener.close();
  });

  test.concurrent("a row that enters or leaves what was asked for is inserted or deleted", async () => {
    await write(`${INSERT}, ('where-2', 'x', 1)`, ["where-1", "x", 9]);
    const notes = await subscribe("SELECT id FROM notes WHERE id LIKE 'where-%' AND amount > 5");
    expect(await notes.snapshot()).toHaveLength(3);
    // Of the first change nothing can be seen, so only the second may come.
    await client.transact([{ sql: "UPDATE notes SET body = 'y', amount = 8 WHERE id = 'where-1'" }]);
    await write("UPDATE notes SET amount = 6 WHERE id = 'where-2'");
    expect(await notes.next()).toEqual(change("insert", 2, ["where-2"], 1));
    await write("UPDATE notes SET amount = 5 WHERE id = 'where-1'");
    expect(await notes.next()).toEqual(change("delete", 1, ["where-1"], 2));
    notes.close();
  });

  test.concurrent("generated columns, in what is asked for and in conditions", async () => {
    const sql =
      "SELECT n, address, octet_length(record) AS size FROM containers WHERE server_id = 'gen' AND service = ?";
    const web = await subscribe(sql, ["web"]);
    expect((await web.snapshot())[0]).toEqual({ type: "columns", columns: ["n", "address", "size"] });
    const insert = "INSERT INTO containers (server_id, n, record) VALUES ('gen', 0, ?)";
    await write(insert, ['{"service":"web","address":"10.210.0.2"}']);
    expect(await web.next()).toEqual(change("insert", 1, [0, "10.210.0.2", 40], 1));
    await write("UPDATE containers SET record = ? WHERE server_id = 'gen'", ['{"service":"db"}']);
    expect(await web.next()).toEqual(change("delete", 1, [0, "10.210.0.2", 40], 2));
    web.close();
  });

  test.concurrent("the product's own subscriptions leave out rows that are too large to be records", async () => {
    for (const sql of Object.values(SUBSCRIPTIONS)) {
      const events = await subscribe(sql);
      expect((await events.snapshot()).at(-1)).toMatchObject({ type: "ready" });
      events.close();
    }
    const sql = `${SUBSCRIPTIONS.containers} AND server_id = 'large'`;
    const insert = "INSERT INTO containers (server_id, n, record) VALUES ('large', ?, ?)";
    await client.transact([
      { sql: insert, params: [1, "x".repeat(60_000)] },
      { sql: insert, params: [2, "x"] },
    ]);
    const large = await subscribe(sql);
    expect(await large.snapshot()).toHaveLength(3);
    await write("UPDATE containers SET record = ? WHERE server_id = 'large' AND n = 2", ["y".repeat(60_000)]);
    expect(await large.next()).toEqual(change("delete", 1, ["large", 2, "x"], 1));
    await write("UPDATE containers SET record = 'z' WHERE server_id = 'large' AND n = 1");
    expect(await large.next()).toEqual(change("insert", 2, ["large", 1, "z"], 2));
    large.close();
  });

  test.concurrent("values of every kind", async () => {
    const values: SqlValue[] = [null, 1.5, -(2 ** 40), "", "ö\n😀", new Uint8Array(), new Uint8Array([0, 255])];
    const { sql, params } = notesOf("kinds-");
    const notes = await subscribe(sql, params);
    await notes.snapshot();
    await client.transact(values.map((value, n) => ({ sql: INSERT, params: [`kinds-${n}`, value, 0] })));
    const seen = new Map<SqlValue | undefined, SqlValue | undefined>();
    for (const _ of values) {
      const event = await notes.next();
      if (event?.type === "change") seen.set(event.values[0], event.values[1]);
    }
    expect(values.map((_, n) => seen.get(`kinds-${n}`))).toEqual(values);
    notes.close();
  });

  test.concurrent.each([
    ["a table that is not there", "SELECT * FROM nowhere"],
    ["a table of SQLite's own", "SELECT name FROM sqlite_schema"],
    ["no table", "SELECT 1"],
    ["a DELETE", "DELETE FROM notes"],
    ["what is no SQL", "SELEC"],
    ["two statements", "SELECT id FROM notes; SELECT 1"],
    ["a column that two tables have", "SELECT record FROM servers, containers"],
    ["an unknown column", "SELECT colour FROM notes"],
    ["a subquery as a table", "SELECT x FROM (SELECT id AS x FROM notes)"],
  ])("refuses %s", async (_what, sql) => {
    const error = await client.subscribe({ sql }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ name: "StoreError" });
    expect((error as { status: number }).status).toBeGreaterThanOrEqual(400);
  });
});
