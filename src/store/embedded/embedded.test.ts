import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../model/secret.ts";
import { systemClock } from "../../system/clock.ts";
import { openStoreClient } from "../client.ts";
import { startEmbeddedStore, type EmbeddedStore, type EmbeddedStoreOptions } from "./embedded.ts";
import { SCHEMA } from "../schema.ts";
import { StoreFaults } from "../../../test/store-faults.ts";
import { storeAddress } from "../store-url.ts";
import type { StoreClient, Subscription, SubscriptionEvent } from "../store.ts";

const TOKEN = new Secret("T");
const ALL = { sql: "SELECT server_id, n, record FROM containers" };
const INSERT = "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)";

let folder: string;
let faults: StoreFaults;
let store: EmbeddedStore;
let client: StoreClient;

async function start(options: Partial<EmbeddedStoreOptions> = {}): Promise<void> {
  faults = new StoreFaults();
  store = await startEmbeddedStore({
    listen: { host: "127.0.0.1", port: 0 },
    databasePath: join(folder, "state.db"),
    token: TOKEN,
    clock: systemClock,
    faults,
    ...options,
  });
  client = openStoreClient({ url: store.url, token: TOKEN });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "jiji-embedded-"));
  await start();
});

afterEach(async () => {
  client.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

const insert = (n: number, record = "x") => client.transact([{ sql: INSERT, params: ["a", n, record] }]);

async function next(events: AsyncIterator<SubscriptionEvent>): Promise<SubscriptionEvent | undefined> {
  const result = await events.next();
  return result.done === true ? undefined : result.value;
}

/** The events after the snapshot. */
async function ready(subscription: Subscription): Promise<AsyncIterator<SubscriptionEvent>> {
  const events = subscription[Symbol.asyncIterator]();
  for (let event = await next(events); event?.type !== "ready"; event = await next(events)) {
    if (event === undefined) throw new Error("ended in its snapshot");
  }
  return events;
}

const follow = async () => ready(await client.subscribe(ALL));

describe("keeps itself safe", () => {
  test.each([
    "CREATE TABLE x (a)",
    "ALTER TABLE containers ADD COLUMN x",
    "DROP TABLE containers",
    "CREATE TEMP TRIGGER x AFTER INSERT ON containers BEGIN SELECT 1; END",
    "ATTACH '/tmp/x' AS x",
    "DETACH main",
    "PRAGMA user_version = 3",
    "VACUUM",
    "REINDEX",
    "SAVEPOINT x",
    "UPDATE __JIJI_state SET value = 7",
    'DELETE FROM "__jiji_touched_containers"',
    "UPDATE sqlite_schema SET sql = ''",
  ])("a transaction refuses %s", async (sql) => {
    await insert(1);
    await expect(client.transact([{ sql }])).rejects.toMatchObject({ status: 500 });
    expect((await client.query(ALL)).rows).toEqual([["a", 1, "x"]]);
    expect((await insert(2)).version).toBe(2);
  });

  test.each([
    "ATTACH '/tmp/x' AS x",
    "DETACH main",
    "BEGIN",
    "PRAGMA query_only = 0",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = 1",
    "PRAGMA main.table_info(containers)",
    "VACUUM INTO '/tmp/x'",
  ])("a query refuses %s", async (sql) => {
    await expect(client.query({ sql })).rejects.toMatchObject({ status: 400 });
  });

  test.each([
    ["aggregates", "SELECT count(*), max(record) FROM containers"],
    ["a bare count", "SELECT count(*) FROM containers"],
    ["windows", "SELECT record, row_number() OVER (ORDER BY n) FROM containers"],
    ["DISTINCT", "SELECT DISTINCT record FROM containers"],
    ["LIMIT", "SELECT record FROM containers LIMIT 1"],
    ["UNION", "SELECT record FROM containers UNION SELECT record FROM servers"],
    ["its own tables", "SELECT value FROM __jiji_state"],
    ["what only names keys, whose inserts Corrosion never tells", "SELECT server_id, n FROM containers"],
    ["two tables", "SELECT s.name, c.record FROM servers s LEFT JOIN containers c ON c.server_id = s.id"],
    ["a subquery", "SELECT record FROM servers WHERE id IN (SELECT server_id FROM containers)"],
  ])("a subscription refuses %s", async (_what, sql) => {
    await expect(client.subscribe({ sql })).rejects.toMatchObject({ status: 400 });
  });

  test("extensions cannot be loaded", async () => {
    await expect(client.query({ sql: "SELECT load_extension('/tmp/x')" })).rejects.toThrow("not authorized");
  });
});

describe("faults", () => {
  test("answers that refuse", async () => {
    faults.refuseWith = 415;
    await expect(client.query(ALL)).rejects.toMatchObject({ status: 415 });
  });

  test("streams that end, without a word or with one", async () => {
    const silent = await follow();
    faults.closeStreams();
    expect(await next(silent)).toBeUndefined();
    const failing = await follow();
    faults.failStreams("exceeded events buffer");
    await expect(next(failing)).rejects.toThrow("exceeded events buffer");
  });

  test("a stall, in the middle and from the start", async () => {
    const events = await follow();
    faults.stall();
    await insert(1);
    const stuck = await client.subscribe(ALL);
    expect((await client.query(ALL)).rows).toHaveLength(1);
    const both = [next(events), next(stuck[Symbol.asyncIterator]())];
    expect(await Promise.race([...both, Bun.sleep(30).then(() => "silence")])).toBe("silence");
    faults.resume();
    expect(await both[0]).toMatchObject({ changeId: 1 });
    expect(await both[1]).toMatchObject({ type: "columns" });
  });

  test("ids that jump, and that go back", async () => {
    const events = await follow();
    await insert(1);
    expect(await next(events)).toMatchObject({ changeId: 1 });
    faults.shiftChangeIds(10);
    await insert(2);
    expect(await next(events)).toMatchObject({ changeId: 12 });
    faults.shiftChangeIds(-12);
    await insert(3);
    expect(await next(events)).toMatchObject({ changeId: 1 });
  });
});

describe("subscriptions", () => {
  test("a reader that takes nothing is cut off, and the store goes on", async () => {
    const { host, port } = storeAddress(store.url) as { host: string; port: number };
    const body = JSON.stringify(ALL.sql);
    const socket = connect(port, host);
    socket.write(
      `POST /v1/subscriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer T\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    const many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 25000)";
    const sql = `${many} INSERT INTO containers (server_id, n, record) SELECT 'b', n, ? FROM c`;
    await client.transact([{ sql, params: ["x".repeat(600)] }]);
    const events = await ready(await client.subscribe({ sql: `${ALL.sql} WHERE server_id = 'a'` }));
    await insert(1);
    expect(await next(events)).toMatchObject({ change: "insert" });
    // What was on its way still comes, and then the end.
    let tail = "";
    for await (const bytes of socket as AsyncIterable<Buffer>) {
      tail = (tail + bytes.toString("latin1")).slice(-5);
      if (tail === "0\r\n\r\n") break;
    }
    expect(tail).toBe("0\r\n\r\n");
  });

  test("one that nobody listens to any more is forgotten, and the rows and their version outlive a crash", async () => {
    const first = await client.subscribe(ALL);
    await ready(first);
    expect((await client.subscribe(ALL)).id).toBe(first.id);
    await insert(1);
    const copy = join(folder, "crashed.db");
    for (const suffix of ["", "-wal"]) copyFileSync(join(folder, `state.db${suffix}`), copy + suffix);
    client.close();
    await store.close();
    await start({ databasePath: copy });
    const again = await client.subscribe(ALL);
    expect(again.id).not.toBe(first.id);
    expect((await client.query(ALL)).rows).toEqual([["a", 1, "x"]]);
    expect((await insert(2)).version).toBe(2);
  });

  test("a key that is deleted and inserted at once is an update, and one that comes and goes is nothing", async () => {
    await insert(1);
    const events = await follow();
    await client.transact([
      { sql: "DELETE FROM containers WHERE n = 1" },
      { sql: INSERT, params: ["a", 1, "y"] },
      { sql: INSERT, params: ["a", 2, "z"] },
      { sql: "DELETE FROM containers WHERE n = 2" },
    ]);
    expect(await next(events)).toMatchObject({ change: "update", rowId: 1, values: ["a", 1, "y"], changeId: 1 });
    await client.transact([{ sql: "INSERT OR REPLACE INTO containers (server_id, n) VALUES ('a', 1)" }]);
    expect(await next(events)).toMatchObject({ change: "update", values: ["a", 1, ""], changeId: 2 });
    await client.transact([{ sql: "UPDATE containers SET n = 3" }]);
    const moved = [await next(events), await next(events)];
    expect(moved).toContainEqual(expect.objectContaining({ change: "insert", values: ["a", 3, ""] }));
    expect(moved).toContainEqual(expect.objectContaining({ change: "delete", values: ["a", 1, ""] }));
  });

  test("named parameters", async () => {
    const sql = "SELECT n, record FROM containers WHERE record = :r AND n > @n";
    const events = await ready(await client.subscribe({ sql, params: { ":r": "x", "@n": 1 } }));
    await insert(1);
    await insert(2);
    expect(await next(events)).toMatchObject({ change: "insert", values: [2, "x"] });
  });
});

describe("the file", () => {
  test("of an earlier schema gets the present one and keeps its rows", async () => {
    await insert(1, '{"service":"web"}');
    client.close();
    await store.close();
    const earlier = SCHEMA.replace(/ {2}service TEXT[^\n]*\n/, "").replace("(project, service)", "(project)");
    const other = `${earlier}\nCREATE TABLE gone (id TEXT NOT NULL PRIMARY KEY, x);`;
    await start({ schema: other });
    await expect(client.query({ sql: "SELECT service FROM containers" })).rejects.toThrow("no such column");
    await client.transact([{ sql: INSERT, params: ["a", 2, '{"service":"db"}'] }]);
    client.close();
    await store.close();
    await start();
    const { rows } = await client.query({ sql: "SELECT n, service FROM containers ORDER BY n" });
    expect(rows).toEqual([
      [1, "web"],
      [2, "db"],
    ]);
    const plan = await client.query({
      sql: "EXPLAIN QUERY PLAN SELECT n FROM containers WHERE project = 'a' AND service = 'b'",
    });
    expect(String(plan.rows[0]?.[3])).toContain("containers_by_service");
  });

  test("can be read by others while the store runs", async () => {
    await insert(1);
    const other = new Database(join(folder, "state.db"), { readonly: true });
    expect(other.query("SELECT count(*) AS n FROM containers").get()).toEqual({ n: 1 });
    other.close();
  });

  test("that is none, or an address that is taken, is said at the start", async () => {
    const path = join(folder, "none.db");
    writeFileSync(path, "this is no database, but long enough to be looked at ".repeat(50));
    const listen = { host: "127.0.0.1", port: 0 };
    await expect(startEmbeddedStore({ listen, databasePath: path, clock: systemClock })).rejects.toThrow(
      "not a database",
    );
    const { host, port } = storeAddress(store.url) as { host: string; port: number };
    const again = startEmbeddedStore({
      listen: { host, port },
      databasePath: join(folder, "b.db"),
      clock: systemClock,
    });
    await expect(again).rejects.toThrow("in use");
  });
});
