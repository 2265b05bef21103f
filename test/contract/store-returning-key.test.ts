import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { applyRowChanges, encodeRowChanges, planMirror, type OwnRows } from "../../src/agent/containers/mirror.ts";
import type { PublishedContainer } from "../../src/agent/containers/publish.ts";
import type { Ipv4 } from "../../src/model/address.ts";
import { Secret } from "../../src/model/secret.ts";
import type { ServerId } from "../../src/model/keys.ts";
import type { DnsLabel } from "../../src/model/names.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { SCHEMA } from "../../src/store/schema.ts";
import type { Statement, StoreClient } from "../../src/store/store.ts";
import { corrosionBinaries, freePort, startCorrosion, type RunningCorrosion } from "../corrosion.ts";

const TOKEN = new Secret("a-token-of-this-test");
const SELF = "0".repeat(32) as ServerId;
const ROWS = 20;
const COUNT = "SELECT count(*) FROM containers WHERE record LIKE ?";

/** Three stores, one after the other: `a` writes, `b` is away in between, and `c` learns everything from `b` alone. */
class ThreeStores {
  readonly #binary: string;
  readonly #folder: string;
  readonly #running = new Map<string, RunningCorrosion>();
  readonly #ports: Record<string, number>;

  constructor(binary: string, folder: string, ports: Record<string, number>) {
    this.#binary = binary;
    this.#folder = folder;
    this.#ports = ports;
  }

  /** Starts a store; `peer` is the only one that it calls. */
  async start(name: string, peer?: string): Promise<StoreClient> {
    const running = await startCorrosion({
      binary: this.#binary,
      folder: join(this.#folder, name),
      schema: SCHEMA,
      token: TOKEN,
      gossipPort: this.#ports[name] ?? 0,
      peerPorts: peer === undefined ? [] : [this.#ports[peer] ?? 0],
    });
    this.#running.set(name, running);
    return openStoreClient({ url: running.url, token: TOKEN });
  }

  async stop(name: string): Promise<void> {
    await this.#running.get(name)?.stop();
    this.#running.delete(name);
  }

  async close(): Promise<void> {
    for (const running of this.#running.values()) await running.kill();
    await rm(this.#folder, { recursive: true });
  }
}

/** What becomes of the rows while `b` is away, and what is written as `b` comes back. */
interface Writes {
  readonly first: readonly Statement[];
  readonly whileAway: readonly (readonly Statement[])[];
  readonly after: readonly Statement[];
}

/** Gives how many of the rows `c` has as they were written last. */
async function rowsThatArrive(binary: string, writes: Writes): Promise<number> {
  const ports = { a: await freePort(), b: await freePort(), c: await freePort() };
  const stores = new ThreeStores(binary, await mkdtemp(join(tmpdir(), "jiji-three-")), ports);
  try {
    const a = await stores.start("a");
    let b = await stores.start("b", "a");
    await a.transact(writes.first);
    await until(b, "%", ROWS);
    await stores.stop("b");
    for (const statements of writes.whileAway) await a.transact(statements);
    // A change is told to whoever is there, so b hears it before it has what it missed.
    b = await stores.start("b", "a");
    await Bun.sleep(300);
    for (const statement of writes.after) await a.transact([statement]);
    await until(b, "%last%", ROWS);
    await stores.stop("a");
    const c = await stores.start("c", "b");
    return await settled(c);
  } finally {
    await stores.close();
  }
}

async function count(store: StoreClient, pattern: string): Promise<number> {
  const { rows } = await store.query({ sql: COUNT, params: [pattern] });
  return Number(rows[0]?.[0] ?? 0);
}

async function until(store: StoreClient, pattern: string, rows: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  while ((await count(store, pattern)) !== rows) {
    if (performance.now() > deadline) throw new Error(`${await count(store, pattern)} of ${rows} rows arrived`);
    await Bun.sleep(50);
  }
}

/** Waits until all rows are there, then until what they say has not changed for some seconds. */
async function settled(store: StoreClient): Promise<number> {
  const deadline = performance.now() + 30_000;
  let [right, sinceMs] = [-1, performance.now()];
  while (performance.now() < deadline) {
    const now = await count(store, "%last%");
    if (now === ROWS) return now;
    if (now !== right) [right, sinceMs] = [now, performance.now()];
    const { rows } = await store.query({ sql: "SELECT count(*) FROM containers" });
    if (Number(rows[0]?.[0]) === ROWS && performance.now() - sinceMs > 8_000) return now;
    await Bun.sleep(100);
  }
  return right;
}

function container(n: number, version: string): PublishedContainer {
  return {
    containerId: n.toString(16).padStart(64, "0"),
    project: "shop" as DnsLabel,
    service: version as DnsLabel,
    instance: null,
    address: `10.210.3.${n + 2}` as Ipv4,
    state: "healthy",
    ports: [],
    meta: {},
  };
}

/** What an agent writes for a history of its engine's containers, transaction by transaction. */
function writesOfAgent(history: readonly (readonly PublishedContainer[])[]): (readonly Statement[])[] {
  let rows: OwnRows = new Map();
  return history.map((containers, index) => {
    const changes = planMirror(containers, rows, Date.now() + index * 1000, Date.now());
    rows = applyRowChanges(rows, changes);
    return encodeRowChanges(SELF, changes);
  });
}

const numbers = Array.from({ length: ROWS }, (_, n) => n);
const insert = "INSERT INTO containers (server_id, n, record) VALUES ('x', ?, ?)";
const update = "UPDATE containers SET record = ? WHERE n = ?";

for (const binary of corrosionBinaries()) {
  const name = basename(dirname(dirname(binary)));

  test(`Corrosion ${name}: keys that were deleted and inserted again lose their values on a third store`, async () => {
    const right = await rowsThatArrive(binary, {
      first: numbers.map((n) => ({ sql: insert, params: [n, "first"] })),
      whileAway: [[{ sql: "DELETE FROM containers" }], numbers.map((n) => ({ sql: insert, params: [n, "second"] }))],
      after: numbers.map((n) => ({ sql: update, params: ["last", n] })),
    });
    // If this fails, that Corrosion no longer has the fault, and rows might be deleted again.
    expect(right).toBeLessThan(ROWS);
  }, 180_000);

  test(`Corrosion ${name}: what agents write for containers that end, return and change arrives on a third store`, async () => {
    const [first = [], gone = [], second = [], last = []] = writesOfAgent([
      numbers.map((n) => container(n, "first")),
      [],
      numbers.map((n) => container(n + 100, "second")),
      numbers.map((n) => container(n + 100, "last")),
    ]);
    const right = await rowsThatArrive(binary, { first, whileAway: [gone, second], after: last });
    expect(right).toBe(ROWS);
  }, 180_000);
}
