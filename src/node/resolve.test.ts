import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { startDnsServer, type DnsServer } from "../dns/server.ts";
import type { ContainerState } from "../model/container-record.ts";
import { encodeContainerRecord } from "../model/container-record.ts";
import { systemClock } from "../system/clock.ts";
import { openDnsClient, type DnsClient } from "../system/dns-client.ts";
import { makeMember } from "../../test/mesh-makers.ts";
import { MemoryStore } from "../../test/memory-store.ts";
import { resolveUntil } from "./resolve.ts";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const web1 = makeMember("web1", 0);

function put(store: MemoryStore, n: number, service: string, address: string, state: ContainerState): void {
  const record = encodeContainerRecord({
    containerId: n.toString(16).padStart(64, "0"),
    project: "shop" as never,
    service: service as never,
    instance: null,
    address: address as never,
    state,
    ports: [],
    meta: {},
    rev: Date.now(),
  });
  store.change(
    "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
    [web1.identity.id, n, record],
  );
}

async function startDns(store: MemoryStore): Promise<DnsServer> {
  const { id, record, sig } = web1.signed;
  store.change("INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)", [id, record, sig]);
  const server = await startDnsServer(
    {
      version: 1,
      listen: ["127.0.0.1:0"],
      store: { url: "unix:/unused", tokenFile: null },
      agentSocket: null,
      self: web1.identity.id,
      clusterCidr: "10.210.0.0/16" as never,
      ttlSeconds: 60,
      localFirst: false,
      upstreams: ["127.0.0.1:9" as never],
      stateFile: null,
      metrics: null,
      controlSocket: null,
    },
    {
      store,
      clock: systemClock,
      log: { info: () => undefined, warn: () => undefined },
      workerUrl: undefined,
      environment: {},
      pid: process.pid,
    },
  );
  cleanUps.push(() => server.close());
  await server.hasTable;
  return server;
}

async function clientOf(port: number): Promise<DnsClient> {
  const client = await openDnsClient({ address: "127.0.0.1", port });
  cleanUps.push(() => client.close());
  return client;
}

describe("what a server's jiji-dns answers over the wire", () => {
  test("addresses, nothing, no such name; and all of what does not fit a datagram", async () => {
    const store = new MemoryStore();
    for (let n = 0; n < 200; n++) put(store, n, "many", `10.210.0.${n + 2}`, "healthy");
    put(store, 200, "ill", "10.210.0.210", "unhealthy");
    const server = await startDns(store);
    const client = await clientOf(server.listening[0]!.port);
    const names = ["shop-many.jiji", "shop-ill.jiji", "shop-none.jiji", "web1.server.jiji"];
    const { answers, isSettled } = await resolveUntil(client, { names, until: null }, systemClock);
    expect(isSettled).toBe(true);
    expect(
      answers.map(({ rcode, addresses, ttlSeconds, transport }) => [rcode, addresses.length, ttlSeconds, transport]),
    ).toEqual([
      ["NOERROR", 200, 60, "tcp"],
      ["NOERROR", 0, 5, "udp"],
      ["NXDOMAIN", 0, 5, "udp"],
      ["NOERROR", 1, 60, "udp"],
    ]);
  });

  test("waits until an address is in no answer, and until it is back", async () => {
    const store = new MemoryStore();
    put(store, 0, "web", "10.210.0.2", "healthy");
    put(store, 1, "web", "10.210.0.3", "healthy");
    const server = await startDns(store);
    const client = await clientOf(server.listening[0]!.port);
    const names = ["shop-web.jiji"];
    const wait = (is: "absent" | "present", timeoutMs: number) =>
      resolveUntil(client, { names, until: { address: "10.210.0.2", is, timeoutMs } }, systemClock);
    expect((await wait("absent", 200)).isSettled).toBe(false);
    const gone = wait("absent", 20_000);
    put(store, 0, "web", "10.210.0.2", "draining");
    expect(await gone).toMatchObject({ isSettled: true, answers: [{ addresses: ["10.210.0.3"] }] });
    const back = wait("present", 20_000);
    put(store, 0, "web", "10.210.0.2", "healthy");
    expect((await back).isSettled).toBe(true);
  });

  test("a server that says nothing settles nothing; garbage and others' answers are no answer", async () => {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    cleanUps.push(() => socket.close());
    socket.on("message", (question, { port, address }) => {
      const forged = Buffer.from(question);
      forged[2] = 0x81;
      forged[13] = 0x78; // another name
      socket.send(forged, port, address);
      socket.send(question.subarray(0, 12), port, address);
    });
    const client = await clientOf(socket.address().port);
    const until = { address: "10.210.0.2", is: "absent" as const, timeoutMs: 0 };
    const { answers, isSettled } = await resolveUntil(client, { names: ["a.jiji"], until }, systemClock);
    expect({ answers, isSettled }).toMatchObject({ isSettled: false, answers: [{ rcode: null, addresses: [] }] });
  });
});
