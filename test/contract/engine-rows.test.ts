import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  applyRowChanges,
  encodeRowChanges,
  largestRev,
  parseOwnRows,
  planMirror,
  selectOwnRows,
  type OwnRows,
} from "../../src/agent/containers/mirror.ts";
import type { PublishedContainer } from "../../src/agent/containers/publish.ts";
import { startRowWriter, type RowWriter } from "../../src/agent/containers/row-writer.ts";
import type { ServerId } from "../../src/model/keys.ts";
import { nextRev } from "../../src/model/revision.ts";
import { openStoreClient } from "../../src/store/client.ts";
import type { StoreClient } from "../../src/store/store.ts";
import { systemClock } from "../../src/system/clock.ts";
import { IMPLEMENTATIONS, TOKEN, type StoreUnderTest } from "./store-under-test.ts";

const SELF = "5".repeat(32) as ServerId;

function container(seed: number, state: PublishedContainer["state"] = "healthy"): PublishedContainer {
  return {
    containerId: seed.toString(16).padStart(64, "0"),
    project: "shop",
    service: "web",
    instance: null,
    address: `10.210.3.${(seed % 253) + 2}`,
    state,
    ports: [],
    meta: { name: `web-${seed}` },
  } as unknown as PublishedContainer;
}

describe.each(IMPLEMENTATIONS)("an agent's rows in $name", ({ name, start }) => {
  let store: StoreUnderTest;
  let client: StoreClient;
  let writer: RowWriter;
  const lines: string[] = [];

  const startWriter = (): void => {
    client = openStoreClient({ url: store.url, token: TOKEN });
    const log = { info: (line: string) => lines.push(line), warn: (line: string) => lines.push(line) };
    writer = startRowWriter({ self: SELF, store: client, clock: systemClock, log });
  };

  const stored = async (): Promise<string[]> => {
    const rows = parseOwnRows((await client.query(selectOwnRows(SELF))).rows);
    const filled = [...rows].filter(([, { text }]) => text !== "");
    return filled.map(([n, { record }]) => `${n} ${Number.parseInt(record?.containerId ?? "", 16)}`);
  };

  const until = async (what: string, holds: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> => {
    const deadline = performance.now() + timeoutMs;
    while (!(await holds().catch(() => false))) {
      if (performance.now() > deadline) throw new Error(`never: ${what}\n${lines.join("\n")}`);
      await Bun.sleep(20);
    }
  };

  beforeAll(async () => {
    store = await start();
    startWriter();
  }, 30_000);

  afterEach(async () => {
    writer.publish([]);
    await until("nothing left", async () => (await stored()).length === 0);
  }, 20_000);

  afterAll(async () => {
    await writer.close();
    client.close();
    await store.close();
  });

  test("say what was published, and nothing is written when nothing changed", async () => {
    writer.publish([container(1), container(2)]);
    expect(await writer.whenSettled(5_000)).toBe(true);
    expect(await stored()).toEqual(["0 1", "1 2"]);
    const before = writer.rows;
    writer.publish([container(2), container(1)]);
    writer.look();
    await writer.whenSettled(5_000);
    expect(writer.rows).toEqual(before);
  });

  test("are mended when somebody else changes, deletes or adds one", async () => {
    writer.publish([container(1), container(2)]);
    await writer.whenSettled(5_000);
    await client.transact([
      { sql: "UPDATE containers SET record = '{}' WHERE server_id = ? AND n = 0", params: [SELF] },
      { sql: "DELETE FROM containers WHERE server_id = ? AND n = 1", params: [SELF] },
      { sql: "INSERT INTO containers (server_id, n, record) VALUES (?, 9, 'x')", params: [SELF] },
    ]);
    await until("mended", async () => (await stored()).join() === "0 1,1 2");
  }, 20_000);

  test("survive a store that is stopped and started again", async () => {
    writer.publish([container(1)]);
    await writer.whenSettled(5_000);
    const { url } = store;
    await store.restart();
    if (store.url !== url) {
      // both find a free port anew; an agent's store keeps its own
      await writer.close();
      client.close();
      startWriter();
    }
    writer.publish([container(1), container(2)]);
    await until("both", async () => (await stored()).join() === "0 1,1 2", 20_000);
  }, 40_000);

  test("use as many keys as there were containers at once, through 2,000 that come and go", async () => {
    await writer.close();
    let rows: OwnRows = parseOwnRows((await client.query(selectOwnRows(SELF))).rows);
    for (let seed = 1; seed <= 2_000; seed++) {
      for (const published of [[container(seed)], []]) {
        const changes = planMirror(published, rows, nextRev(largestRev(rows, Date.now()), Date.now()), Date.now());
        await client.transact(encodeRowChanges(SELF, changes));
        rows = applyRowChanges(rows, changes);
      }
    }
    startWriter();
    const count = async (table: string): Promise<number> =>
      Number((await client.query({ sql: `SELECT count(*) FROM ${table}` })).rows[0]?.[0]);
    const size = await client.query({ sql: "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size" });
    console.log(`${name}: after 2,000 containers the store's file has ${Number(size.rows[0]?.[0]) / 1024} KiB`);
    expect(await count("containers WHERE record <> ''")).toBe(0);
    expect(await count("containers")).toBeLessThanOrEqual(3);
    if (!name.startsWith("Corrosion")) return;
    // two containers at once in the tests before, and one key that somebody else made
    const keys = await count("containers__crsql_pks");
    const clock = await count("containers__crsql_clock");
    console.log(`${name}: and ${keys} rows in containers__crsql_pks, ${clock} in containers__crsql_clock`);
    expect(keys).toBeLessThanOrEqual(3);
    expect(clock).toBeLessThanOrEqual(6);
  }, 150_000);
});
