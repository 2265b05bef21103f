import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, encode, type Answer, type DecodedPacket } from "dns-packet";
import { startDnsServer, type DnsServer } from "../../src/dns/server.ts";
import { encodeContainerRecord, type ContainerRecord } from "../../src/model/container-record.ts";
import type { DnsSettings } from "../../src/model/dns-settings.ts";
import { parseIdentityPublicKey, parseWireGuardPublicKey, serverIdOf } from "../../src/model/keys.ts";
import type { Secret } from "../../src/model/secret.ts";
import { signServerRecord } from "../../src/model/server-record.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { startEmbeddedStore } from "../../src/store/embedded/embedded.ts";
import { StoreFaults } from "../store-faults.ts";
import type { StoreUrl } from "../../src/store/store-url.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Clock } from "../../src/system/host.ts";

/** A running jiji-dns with a store and clients, for tests of the whole of it over real sockets. */
const WORKER = new URL("../../src/bin/dns-worker.ts", import.meta.url);

export const cleanUps: (() => unknown)[] = [];

/** To be called after each test of a file that uses any of this. */
export async function cleanUp(): Promise<void> {
  for (const one of cleanUps.splice(0).reverse()) await one();
}

interface StartOptions {
  /** the packet loop; by default the one that is used in production */
  readonly loop?: "event loop";
  readonly clock?: Clock;
  /** what the store asks for; a server started here bears it */
  readonly token?: Secret;
}

/** A member of the mesh with keys of its own and its signed record. */
export function makeServer(name: string, subnet: number) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("base64");
  const idKey = parseIdentityPublicKey(raw)!;
  return {
    id: serverIdOf(idKey),
    name,
    subnet,
    signed: signServerRecord(
      {
        name: name as never,
        subnet: subnet as never,
        publicKey: parseWireGuardPublicKey(raw)!,
        idKey,
        endpoints: [],
        nat: false,
        version: "1.0.0",
        rev: 1,
      },
      privateKey,
    ),
  };
}

let containers = 0;
/** A container's record, healthy unless `more` says otherwise. */
export function container(service: string, address: string | null, more: Partial<ContainerRecord> = {}): string {
  containers++;
  return encodeContainerRecord({
    containerId: containers.toString(16).padStart(64, "0"),
    project: "shop" as never,
    service: service as never,
    instance: null,
    address: address as never,
    state: "healthy",
    ports: [{ port: 80, protocol: "tcp" }],
    meta: { image: "busybox" },
    rev: 1_700_000_000_000 + containers,
    ...more,
  });
}

export const web1 = makeServer("web1", 0);
export const web2 = makeServer("web2", 1);

/** A store, and a server that follows it; everything ends with the test. */
export async function setUp(more: Partial<DnsSettings> = {}, options: StartOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "jiji-dns-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const faults = new StoreFaults();
  const store = await startEmbeddedStore({
    listen: { host: "127.0.0.1", port: 0 },
    databasePath: join(folder, "state.db"),
    clock: systemClock,
    faults,
    token: options.token,
  });
  let isStoreClosed = false;
  const closeStore = async () => {
    if (!isStoreClosed) await store.close();
    isStoreClosed = true;
  };
  cleanUps.push(closeStore);
  const client = openStoreClient({ url: store.url, token: options.token });
  cleanUps.push(() => client.close());
  const put = (server: { id: string }, n: number, record: string) =>
    client.transact([
      {
        sql: "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        params: [server.id, n, record],
      },
    ]);
  for (const { signed } of [web1, web2]) {
    await client.transact([
      { sql: "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)", params: [signed.id, signed.record, signed.sig] },
    ]);
  }
  const settings: DnsSettings = {
    version: 1,
    listen: ["127.0.0.1:0"],
    store: { url: store.url, tokenFile: null },
    agentSocket: null,
    self: web1.id,
    clusterCidr: "10.210.0.0/16" as never,
    ttlSeconds: 60,
    localFirst: false,
    upstreams: ["127.0.0.1:9" as never],
    stateFile: join(folder, "table.json"),
    metrics: "127.0.0.1:0",
    controlSocket: join(folder, "control.sock"),
    ...more,
  };
  const lines: string[] = [];
  const log = { info: (line: string) => void lines.push(line), warn: (line: string) => void lines.push(line) };
  const start = async (url: StoreUrl = store.url): Promise<DnsServer> => {
    const server = await startDnsServer(settings, {
      store: openStoreClient({ url, token: options.token }),
      clock: options.clock ?? systemClock,
      log,
      workerUrl: process.platform === "linux" && options.loop !== "event loop" ? WORKER : undefined,
      environment: {},
      pid: process.pid,
    });
    let isClosed = false;
    const close = server.close.bind(server);
    server.close = async () => {
      if (!isClosed) await close();
      isClosed = true;
    };
    cleanUps.push(() => server.close());
    return server;
  };
  return { folder, faults, closeStore, client, put, settings, start, lines };
}

/** Asks over UDP, again each second until an answer comes. */
export async function ask(server: DnsServer, type: string, name: string, more = {}): Promise<DecodedPacket> {
  const answer = Promise.withResolvers<Buffer>();
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    connect: { hostname: "127.0.0.1", port: server.listening[0]!.port },
    socket: { data: (_socket, packet) => answer.resolve(packet) },
  });
  const packet = encode({ type: "query", id: 7, flags: 0x100, questions: [{ type: type as "A", name }], ...more });
  socket.send(packet);
  const again = setInterval(() => socket.send(packet), 1000);
  const decoded = decode(await answer.promise);
  clearInterval(again);
  socket.close();
  return decoded;
}

export function addresses(packet: DecodedPacket): string[] {
  return (packet.answers as (Answer & { data: string })[]).map(({ data }) => data).sort();
}

/** Asks again until the answer has the addresses. */
export async function until(server: DnsServer, name: string, expected: readonly string[]): Promise<void> {
  for (;;) {
    const found = addresses(await ask(server, "A", name));
    if (JSON.stringify(found) === JSON.stringify(expected)) return;
    await Bun.sleep(5);
  }
}
