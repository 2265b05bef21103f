import { afterEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeHost } from "../../test/fake-host.ts";
import { callNode } from "../../test/node-call.ts";
import { sampleRecord, sampleSpec } from "../../test/sample-spec.ts";
import type { Engine, EngineContainer } from "../engine/engine.ts";
import { encodeContainerRecord } from "../model/container-record.ts";
import { encodeIdentityFile } from "../model/identity.ts";
import { encodeMembersFile } from "../model/members-file.ts";
import { inspectAnswerSchema, type InspectAnswer } from "../model/node/inspect.ts";
import { encodeNodeSpecFile } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { ABSENT, found, unknown } from "../model/reading.ts";
import { openStoreClient } from "../store/client.ts";
import { startEmbeddedStore } from "../store/embedded/embedded.ts";
import { systemClock } from "../system/clock.ts";
import type { Handler } from "./call.ts";
import { runNodeInspect, type InspectSources } from "./inspect.ts";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const peer = sampleRecord("web2", 1);

function member(): FakeHost {
  return new FakeHost({
    files: {
      [PATHS.spec]: encodeNodeSpecFile(sampleSpec()),
      [PATHS.identity]: encodeIdentityFile("web1", 0, generateKeyPairSync("ed25519").privateKey),
      [PATHS.members]: encodeMembersFile({ version: 1, members: [peer], removed: [] }),
    },
  });
}

function container(n: number, more: Partial<EngineContainer> = {}): EngineContainer {
  return {
    id: n.toString(16).padStart(64, "a"),
    name: `api-${n}`,
    labels: { "jiji.project": "shop", "jiji.service": "api", "jiji.instance": `i${n}` },
    imageId: "sha256:1",
    imageName: "nginx",
    imageLabels: found({}),
    networks: { jiji: `10.210.0.${n + 1}` as never },
    state: "running",
    health: "none",
    startedAt: "2026-11-25T00:00:00Z",
    ports: [{ port: 80, protocol: "tcp" }],
    stopSignal: "",
    ...more,
  };
}

function engineWith(onNetwork: readonly EngineContainer[], elsewhere: readonly EngineContainer[] = []): Engine {
  return {
    kind: "docker",
    containers: async () => found(onNetwork),
    container: async (id: string) => {
      const one = elsewhere.find((each) => each.id === id || each.name === id);
      return one === undefined ? ABSENT : found(one);
    },
  } as unknown as Engine;
}

/** An engine that takes anything for this container, as real ones take the beginning of an id. */
function engineTaking(one: EngineContainer): Engine {
  return { kind: "docker", containers: async () => found([]), container: async () => found(one) } as unknown as Engine;
}

async function sources(engine: Engine, rows: readonly (readonly [string, number, string])[]): Promise<InspectSources> {
  const folder = mkdtempSync(join(tmpdir(), "jiji-inspect-"));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  const store = await startEmbeddedStore({
    listen: { host: "127.0.0.1", port: 0 },
    databasePath: join(folder, "state.db"),
    clock: systemClock,
  });
  cleanUps.push(() => store.close());
  const client = openStoreClient({ url: store.url });
  if (rows.length > 0) {
    await client.transact(
      rows.map((params) => ({ sql: "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)", params })),
    );
  }
  return {
    openEngine: () => engine,
    openStore: async () => openStoreClient({ url: store.url }),
    dns: async () => ({ source: "store", rows: [] }),
  };
}

function recordOf(n: number): string {
  const { id, name, networks } = container(n);
  return encodeContainerRecord({
    containerId: id,
    project: "shop" as never,
    service: "api" as never,
    instance: `i${n}` as never,
    address: networks["jiji"] ?? null,
    state: "healthy",
    ports: [{ port: 80, protocol: "tcp" }],
    meta: { name, image: "nginx" },
    rev: 7,
  });
}

async function inspect(text: string, from: InspectSources): Promise<InspectAnswer> {
  const handler: Handler<"inspect"> = (request, call) => runNodeInspect(request, call, from);
  const { code, lines } = await callNode("inspect", { container: text }, handler, { host: member() });
  expect(code).toBe(0);
  return inspectAnswerSchema.parse(lines[0]);
}

describe("what a server knows of a container", () => {
  test("by id, its beginning, name, DNS name, instance, address: engine and store say the same", async () => {
    const from = await sources(engineWith([container(1), container(2)]), [
      [peer.id, 0, recordOf(1)],
      ["\u001b[31mstranger", 3, recordOf(1)],
      [peer.id, 1, "{"],
      [peer.id, 2, ""],
    ]);
    for (const [text, rank] of [
      [container(1).id, 0],
      ["api-1", 0],
      ["10.210.0.2", 0],
      ["shop-api-i1.jiji", 1],
      ["i1", 3],
    ] as const) {
      const { engine, store, dns } = await inspect(text, from);
      expect(engine).toMatchObject({
        state: "found",
        value: [{ rank, id: container(1).id, published: { state: "healthy" } }],
      });
      expect(store).toMatchObject({
        state: "found",
        value: [
          { rank, serverId: peer.id, server: "web2", n: 0, rev: 7 },
          { rank, serverId: "\u001b[31mstranger", server: null, n: 3 },
        ],
      });
      expect(dns.state).toBe(text.length === 64 ? "found" : "absent");
    }
    const { engine } = await inspect("shop-api", from);
    expect(engine.state === "found" ? engine.value.length : 0).toBe(2);
    expect((await inspect("aaaa", from)).engine).toMatchObject({ value: [{ rank: 4 }, { rank: 4 }] });
  });

  test("a container beside the network, and one that is not published: the reasons are given", async () => {
    const lonely = container(3, { name: "lonely", networks: {} });
    const nameless = container(4, { name: "nameless", labels: {} });
    const from = await sources(engineWith([nameless], [lonely]), []);
    expect((await inspect("lonely", from)).engine).toMatchObject({
      value: [{ isOnNetwork: false, published: null, address: null, problems: ["it is not on the network jiji"] }],
    });
    expect((await inspect(lonely.id, from)).engine).toMatchObject({ value: [{ rank: 0 }] });
    const byBeginning = { ...from, openEngine: () => engineTaking(lonely) };
    expect((await inspect("aaa", byBeginning)).engine).toMatchObject({ value: [{ rank: 4, name: "lonely" }] });
    expect((await inspect("nameless", from)).engine).toMatchObject({
      value: [{ isOnNetwork: true, published: null, problems: [expect.stringContaining("has no name")] }],
    });
    expect((await inspect("../../version", from)).engine).toEqual(found([]));
  });

  test("what cannot be seen is unknown, and the rest is said", async () => {
    const from = await sources(engineWith([container(1)]), []);
    const blind: InspectSources = {
      openEngine: () => ({ containers: async () => unknown("no socket") }) as unknown as Engine,
      openStore: async () => openStoreClient({ url: "http://127.0.0.1:9" as never }),
      dns: async () => {
        throw new Error("jiji-dns could not be asked");
      },
    };
    expect(await inspect(container(1).id, blind)).toMatchObject({
      engine: unknown("no socket"),
      store: { state: "unknown" },
      dns: unknown("jiji-dns could not be asked"),
    });
    expect(await inspect(container(1).id, { ...from, dns: () => blind.dns("") })).toMatchObject({
      engine: { state: "found", value: [{ rank: 0 }] },
      store: found([]),
    });
  });

  test("of very many that fit, the best are shown", async () => {
    const many = Array.from({ length: 80 }, (_, n) => container(n + 1));
    const from = await sources(engineWith(many), []);
    const { engine, isCut } = await inspect("a", from);
    expect([engine.state === "found" ? engine.value.length : 0, isCut]).toEqual([50, true]);
  });

  test("rows that others flood the store with neither push the right one out nor make the answer too long", async () => {
    const { id } = container(1);
    const evil = (n: number) =>
      encodeContainerRecord({
        ...(JSON.parse(recordOf(1)) as Parameters<typeof encodeContainerRecord>[0]),
        meta: { name: "\u0001".repeat(1000), image: "\u0001".repeat(1000) },
        rev: n,
      });
    const flood = Array.from({ length: 600 }, (_, n) => [`stranger ${n % 400}`, n, evil(n)] as const);
    const from = await sources(engineWith([container(1)]), [...flood, [peer.id, 0, recordOf(1)]]);
    const rows = flood.map(([serverId, n]) => ({ serverId, n }));
    const traced = [...rows, { serverId: peer.id, n: 0 }].map((each) => ({
      ...each,
      server: "x",
      containerId: id,
      address: null,
      state: "healthy",
      rev: 1,
      source: "store" as const,
      names: [],
      isAnswered: true,
    }));
    const answer = await inspect(id, { ...from, dns: async () => ({ source: "store", rows: traced }) });
    const { store, dns } = answer;
    expect(store.state === "found" && store.value[0]?.serverId).toBe(peer.id);
    expect(dns.state === "found" && dns.value.rows[0]?.serverId).toBe(peer.id);
    expect(JSON.stringify(answer).length).toBeLessThan(900_000);
  });

  test("a server that is not set up, and requests that are none", async () => {
    expect(await callNode("inspect", { container: "x" })).toMatchObject({
      code: 1,
      lines: [{ type: "failed", message: "it is not set up" }],
    });
    expect((await callNode("inspect", { container: "" }, undefined, { host: member() })).code).toBe(1);
  });
});
