import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openStoreClient } from "../../src/store/client.ts";
import { SUBSCRIPTIONS } from "../../src/store/queries.ts";
import type { SqlValue, StoreClient, SubscriptionEvent } from "../../src/store/store.ts";
import { eventsOf, IMPLEMENTATIONS, sendRaw, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

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

  test.concurrent("equal statements are one subscription, however their values are given", async () => {
    const first = await subscribe("SELECT body FROM notes WHERE id = ?", ["shared"]);
    await first.snapshot();
    await write(INSERT, ["shared", "x", 0]);
    expect(await first.next()).toEqual(change("insert", 1, ["x"], 1));
    const second = await subscribe("SELECT body FROM notes WHERE id = ?", ["shared"]);
    const literal = await subscribe("SELECT body FROM notes WHERE id = 'shared'");
    const other = await subscribe("SELECT body FROM notes WHERE id = ?", ["not shared"]);
    expect(first.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    expect([second.id, literal.id]).toEqual([first.id, first.id]);
    expect(other.id).not.toBe(first.id);
    expect(await second.snapshot()).toEqual([
      { type: "columns", columns: ["body"] },
      { type: "row", rowId: 1, values: ["x"] },
      { type: "ready", changeId: 1 },
    ]);
    await write("DELETE FROM notes WHERE id = 'shared'");
    for (const listener of [first, second]) expect(await listener.next()).toEqual(change("delete", 1, ["x"], 2));
    for (const listener of [first, second, literal, other]) listener.close();
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

  test.concurrent("a LEFT JOIN follows both its tables", async () => {
    await write("INSERT INTO servers (id, record) VALUES ('join', '{\"name\":\"web1\"}')");
    const joined = await subscribe(
      "SELECT s.name, c.n, c.record FROM servers AS s LEFT JOIN containers c ON c.server_id = s.id WHERE s.id = 'join'",
    );
    expect((await joined.snapshot())[1]).toEqual({ type: "row", rowId: 1, values: ["web1", null, null] });
    await write("INSERT INTO containers (server_id, n, record) VALUES ('join', 7, 'x')");
    const next = await joined.next();
    expect(next).toMatchObject({ type: "change", change: "insert", values: ["web1", 7, "x"] });
    joined.close();
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

  describe("resuming", () => {
    const lines = (text: string) => text.split("\n").filter((line) => line !== "");
    const post = (query: string, sql: string, untilLines: number) =>
      sendRaw(store.url, { path: `/v1/subscriptions?${query}`, body: JSON.stringify(sql), untilLines });

    test("from an id come the changes after it alone; from 0 the whole snapshot", async () => {
      const sql = "SELECT id, body FROM notes WHERE id LIKE 'from-%'";
      // Not of the same statement: an earlier Corrosion would refuse that one from then on.
      const missing = await post("from=0", "SELECT body FROM notes WHERE id = 'missing'", 1);
      expect(missing.status).toBeGreaterThanOrEqual(400);
      const notes = await subscribe(sql);
      await notes.snapshot();
      for (const n of [1, 2, 3]) {
        await write(INSERT, [`from-${n}`, "x", 0]);
        await notes.next();
      }
      const tail = await post("from=1", sql, 2);
      expect(lines(tail.body)).toEqual([
        '{"change":["insert",2,["from-2","x"],2]}',
        '{"change":["insert",3,["from-3","x"],3]}',
      ]);
      expect(tail.headers["corro-query-id"]).toBe(notes.id);
      expect(tail.headers["corro-query-hash"]).toMatch(/^[0-9a-f]{16}$/);
      const whole = await post("from=0", sql, 5);
      expect(lines(whole.body).slice(0, 2)).toEqual(['{"columns":["id","body"]}', '{"row":[1,["from-1","x"]]}']);
      expect(lines(whole.body)[4]).toContain('"change_id":3');
      const byId = await sendRaw(store.url, {
        method: "GET",
        path: `/v1/subscriptions/${notes.id}?from=2`,
        untilLines: 1,
      });
      expect(lines(byId.body)).toEqual(['{"change":["insert",3,["from-3","x"],3]}']);
      notes.close();
    });

    test("from beyond the end is accepted without a word, and skip_rows leaves out the snapshot", async () => {
      const sql = "SELECT id, body FROM notes WHERE id LIKE 'beyond-%'";
      const notes = await subscribe(sql);
      await notes.snapshot();
      expect((await post("from=1000", sql, 0)).status).toBe(200);
      const skipping = post("skip_rows=true", sql, 1);
      // Asked for later, so when this one has its head, the one above has it too.
      expect((await post("skip_rows=true", sql, 0)).body).toBe("");
      await write(INSERT, ["beyond-1", "x", 0]);
      await notes.next();
      expect(lines((await skipping).body)).toEqual(['{"change":["insert",1,["beyond-1","x"],1]}']);
      notes.close();
    });

    test("an id that nobody has, or that is none", async () => {
      const unknown = await sendRaw(store.url, { method: "GET", path: `/v1/subscriptions/${crypto.randomUUID()}` });
      expect(unknown.status).toBe(404);
      expect(unknown.body).toContain("could not find subscription with id");
      const malformed = await sendRaw(store.url, { method: "GET", path: "/v1/subscriptions/xyz" });
      expect(malformed.status).toBe(400);
      expect((await post("from=x", "SELECT id FROM notes", 1)).status).toBe(400);
    });
  });

  test("updates name the keys of changed rows", async () => {
    const path = "/v1/updates/containers";
    const answer = sendRaw(store.url, { path, untilLines: 3 });
    const listening = await sendRaw(store.url, { path, untilLines: 0 });
    expect(listening.headers["corro-query-id"]).toBeString();
    await client.transact([
      { sql: "INSERT INTO containers (server_id, n) VALUES ('hint', 1), ('hint', 2)" },
      { sql: "DELETE FROM containers WHERE server_id = 'generated'" },
    ]);
    await Bun.sleep(0);
    await write("UPDATE containers SET record = 'x' WHERE server_id = 'hint' AND n = 3");
    await write("INSERT INTO containers (server_id, n) VALUES ('hint', 3)");
    const got = (await answer).body.split("\n").slice(0, 3).sort();
    expect(got).toEqual([1, 2, 3].map((n) => `{"notify":["update",["hint",${n}]]}`));
    const deleted = sendRaw(store.url, { path, untilLines: 1 });
    await sendRaw(store.url, { path, untilLines: 0 });
    await write("DELETE FROM containers WHERE server_id = 'hint' AND n = 2");
    expect((await deleted).body).toBe('{"notify":["delete",["hint",2]]}\n');
    expect((await sendRaw(store.url, { path: "/v1/updates/nowhere" })).status).toBeGreaterThanOrEqual(400);
  });
});
