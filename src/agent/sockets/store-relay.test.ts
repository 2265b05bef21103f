import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../model/secret.ts";
import { openStoreClient } from "../../store/client.ts";
import { startEmbeddedStore, type EmbeddedStore } from "../../store/embedded/embedded.ts";
import { sendRequest } from "../../store/http-request.ts";
import { SUBSCRIPTIONS } from "../../store/queries.ts";
import { StoreFaults } from "../../../test/store-faults.ts";
import { formatStoreUrl } from "../../store/store-url.ts";
import type { StoreClient, Subscription, SubscriptionEvent } from "../../store/store.ts";
import { systemClock } from "../../system/clock.ts";
import { systemFiles } from "../../system/files.ts";
import { FastClock } from "../../../test/fast-clock.ts";
import { startStoreRelay, type StoreRelay } from "./store-relay.ts";

const TOKEN = new Secret("the-store's-token");

const PROBE_MS = 15_000;
const SETTLE_MS = 5_000;
const INSERT = "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)";

let folder: string;
let path: string;
let faults: StoreFaults;
let clock: FastClock;
let warnings: string[];
let store: EmbeddedStore;
let relay: StoreRelay;
let direct: StoreClient;
let relayed: StoreClient;

const startStore = (port = 0) =>
  startEmbeddedStore({
    listen: { host: "127.0.0.1", port },
    databasePath: join(folder, "state.db"),
    token: TOKEN,
    clock: systemClock,
    faults,
  });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "jiji-relay-"));
  path = join(folder, "agent/store.sock");
  faults = new StoreFaults();
  clock = new FastClock(200);
  warnings = [];
  store = await startStore();
  const log = { info: () => {}, warn: (line: string) => void warnings.push(line) };
  relay = await startStoreRelay({ path, files: systemFiles, group: "root", url: store.url, token: TOKEN, clock, log });
  direct = openStoreClient({ url: store.url, token: TOKEN });
  relayed = openStoreClient({ url: formatStoreUrl({ kind: "unix", path }) });
});

afterEach(async () => {
  relayed.close();
  await relay.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

async function nextEvent(events: AsyncIterator<SubscriptionEvent>): Promise<SubscriptionEvent | undefined> {
  const next = await events.next();
  return next.done === true ? undefined : next.value;
}

async function untilReady(subscription: Subscription): Promise<AsyncIterator<SubscriptionEvent>> {
  const events = subscription[Symbol.asyncIterator]();
  for (let event = await nextEvent(events); event?.type !== "ready"; event = await nextEvent(events)) {
    if (event === undefined) throw new Error("ended in its snapshot");
  }
  return events;
}

const post = (body: string, path_ = "/v1/subscriptions", method: "POST" | "GET" = "POST") =>
  sendRequest({ kind: "unix", path }, { method, path: path_, body, headTimeoutMs: 5000 });

// security-tests: agent-sockets
test("only root and the group may connect", () => {
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect(statSync(join(folder, "agent")).mode & 0o777).toBe(0o750);
});

test("passes the product's subscriptions through, snapshot and changes, without a token", async () => {
  await direct.transact([{ sql: INSERT, params: ["a", 1, "ö\n\u0000😀"] }]);
  const subscription = await relayed.subscribe({ sql: SUBSCRIPTIONS.containers });
  const events = subscription[Symbol.asyncIterator]();
  expect(subscription.id).toBe((await direct.subscribe({ sql: SUBSCRIPTIONS.containers })).id);
  expect(await nextEvent(events)).toEqual({ type: "columns", columns: ["server_id", "n", "record"] });
  expect(await nextEvent(events)).toEqual({ type: "row", rowId: 1, values: ["a", 1, "ö\n\u0000😀"] });
  expect(await nextEvent(events)).toEqual({ type: "ready", changeId: 0 });
  await direct.transact([{ sql: "DELETE FROM containers" }]);
  expect(await nextEvent(events)).toMatchObject({ type: "change", change: "delete", rowId: 1, changeId: 1 });
  const servers = await relayed.subscribe({ sql: SUBSCRIPTIONS.servers });
  await untilReady(servers);
});

// security-tests: dns-cannot-write
describe("lets nothing else through", () => {
  const allowed = JSON.stringify(SUBSCRIPTIONS.containers);
  test.each([
    ["another statement", '"SELECT id, record FROM servers"', "/v1/subscriptions", "POST"],
    ["more than the text", JSON.stringify(`${SUBSCRIPTIONS.containers} AND 1`), "/v1/subscriptions", "POST"],
    ["parameters", `[${allowed}, []]`, "/v1/subscriptions", "POST"],
    ["a query string", allowed, "/v1/subscriptions?from=1", "POST"],
    ["a query", allowed, "/v1/queries", "POST"],
    ["a transaction", '["DELETE FROM containers"]', "/v1/transactions", "POST"],
    ["a subscription by id", "", `/v1/subscriptions/${crypto.randomUUID()}`, "GET"],
    ["updates", "", "/v1/updates/containers", "POST"],
    ["a path that only ends up there", allowed, "/v1/queries/../subscriptions", "POST"],
    ["what is not JSON", "nonsense", "/v1/subscriptions", "POST"],
    ["a long body", `${" ".repeat(5000)}${allowed}`, "/v1/subscriptions", "POST"],
  ] as const)("%s", async (_what, body, to, method) => {
    expect((await post(body, to, method)).status).toBe(403);
  });
});

test("says that the store is away, and works again when it is back", async () => {
  const { port } = new URL(store.url);
  await store.close();
  await expect(relayed.subscribe({ sql: SUBSCRIPTIONS.containers })).rejects.toMatchObject({ status: 502 });
  store = await startStore(Number(port));
  await untilReady(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
});

test("passes the store's refusal on, and never the token", async () => {
  faults.refuseWith = 503;
  const error = await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ name: "StoreError", status: 503 });
  expect(Bun.inspect(error)).not.toContain(TOKEN.reveal());
});

test("ends when the store's stream ends, with its words", async () => {
  const events = await untilReady(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
  faults.closeStreams();
  expect(await nextEvent(events)).toBeUndefined();
  const second = await untilReady(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
  faults.failStreams("something broke");
  await expect(nextEvent(second)).rejects.toThrow("something broke");
});

// dns-contract: stall
test("a stream that fell silent while rows changed is ended; one with nothing to say is not", async () => {
  await direct.transact([{ sql: INSERT, params: ["a", 1, "x"] }]);
  const events = await untilReady(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
  await clock.untilWaits(PROBE_MS, 5);
  expect(clock.waits(SETTLE_MS)).toBe(0);
  faults.stall();
  await clock.untilWaits(PROBE_MS, 3);
  expect(warnings).toEqual([]);
  // The same number of rows, of the same size.
  await direct.transact([{ sql: "UPDATE containers SET record = 'y'" }]);
  expect(await nextEvent(events)).toBeUndefined();
  expect(warnings).toEqual(["store relay: the subscription has fallen silent; it starts again"]);
});

// dns-contract: stall
test("a stream that never finishes its snapshot is ended", async () => {
  faults.stall();
  const subscription = await relayed.subscribe({ sql: SUBSCRIPTIONS.containers });
  expect(await nextEvent(subscription[Symbol.asyncIterator]())).toBeUndefined();
});

test("a stream on which a change was lost, or ids went back, is ended", async () => {
  for (const by of [1, -1]) {
    const events = await untilReady(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
    await direct.transact([{ sql: INSERT, params: [`b${by}`, 1, "x"] }]);
    expect(await nextEvent(events)).toMatchObject({ change: "insert" });
    faults.shiftChangeIds(by);
    await direct.transact([{ sql: INSERT, params: [`b${by}`, 2, "x"] }]);
    expect(await nextEvent(events)).toMatchObject({ change: "insert" });
    expect(await nextEvent(events)).toBeUndefined();
  }
  expect(warnings).toHaveLength(2);
});

test("many rows pass at the reader's pace, and stay equal to the store's", async () => {
  const rows = Array.from({ length: 3000 }, (_, n) => ({ sql: INSERT, params: ["many", n, "r".repeat(1000)] }));
  await direct.transact(rows);
  const subscription = await relayed.subscribe({ sql: SUBSCRIPTIONS.containers });
  let count = 0;
  for await (const event of subscription) {
    if (event.type === "row") count += 1;
    if (count === 1) await new Promise((resolve) => setImmediate(resolve));
    if (event.type === "ready") break;
  }
  expect(count).toBe(3000);
  const again = await untilReady(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
  await direct.transact([{ sql: "UPDATE containers SET record = 'short' WHERE n < 100" }]);
  for (let n = 0; n < 100; n++) expect(await nextEvent(again)).toMatchObject({ change: "update" });
  await clock.untilWaits(PROBE_MS, 2);
  expect(warnings).toEqual([]);
});
