import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startStoreRelay, type StoreRelay } from "../../src/agent/sockets/store-relay.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { SUBSCRIPTIONS } from "../../src/store/queries.ts";
import { formatStoreUrl } from "../../src/store/store-url.ts";
import type { SqlValue } from "../../src/store/store.ts";
import { systemFiles } from "../../src/system/files.ts";
import { FastClock } from "../fast-clock.ts";
import { eventsOf, IMPLEMENTATIONS, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

const PROBE_MS = 15_000;
const SETTLE_MS = 5_000;

describe.each(IMPLEMENTATIONS)("the agent's relay before it: $name", ({ start }) => {
  let store: StoreUnderTest;
  let folder: string;
  let relay: StoreRelay;
  const warnings: string[] = [];
  const clock = new FastClock(100);

  beforeAll(async () => {
    store = await start();
    folder = await mkdtemp(join(tmpdir(), "jiji-relay-"));
    relay = await startStoreRelay({
      path: join(folder, "store.sock"),
      files: systemFiles,
      group: "root",
      url: store.url,
      token: TOKEN,
      clock,
      log: { info: () => {}, warn: (line) => void warnings.push(line) },
    });
  });
  afterAll(async () => {
    await relay.close();
    await store.close();
    await rm(folder, { recursive: true });
  });

  test("what it has relayed compares equal with the store's table, whatever the values", async () => {
    const direct = openStoreClient({ url: store.url, token: TOKEN });
    const relayed = openStoreClient({ url: formatStoreUrl({ kind: "unix", path: join(folder, "store.sock") }) });
    const records: SqlValue[] = [
      " ",
      '{"a":"]}"}',
      "],7]}",
      "ö\n\u0001\u2028😀",
      1.5,
      -0.1,
      1e300,
      7,
      "9223372036854775807",
      new Uint8Array([0, 255]),
      new Uint8Array(),
    ];
    const insert = "INSERT INTO containers (server_id, n, record) VALUES ('relay', ?, ?)";
    await direct.transact(records.map((record, n) => ({ sql: insert, params: [n, record] })));
    const events = eventsOf(await relayed.subscribe({ sql: SUBSCRIPTIONS.containers }));
    expect(await events.snapshot()).toHaveLength(records.length + 2);
    await clock.untilWaits(PROBE_MS, 2);
    expect(clock.waits(SETTLE_MS)).toBe(0);

    // While changes are on their way the two differ, and the clock is too fast to wait for that.
    const goOn = clock.pause();
    // The same values by changes: each is replaced by the next one's.
    const update = "UPDATE containers SET record = ? WHERE server_id = 'relay' AND n = ?";
    await direct.transact(
      records.map((_, n) => ({ sql: update, params: [records[(n + 1) % records.length] ?? null, n] })),
    );
    for (const _ of records) expect(await events.next()).toMatchObject({ type: "change", change: "update" });
    goOn();
    await clock.untilWaits(PROBE_MS, 3);
    expect(clock.waits(SETTLE_MS)).toBe(0);
    expect(warnings).toEqual([]);
    relayed.close();
    direct.close();
  });
});
