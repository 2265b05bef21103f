import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { addDnsCommands } from "../../src/bin/dns-commands.ts";
import { startDnsServer, type DnsServer } from "../../src/dns/server.ts";
import { encodeContainerRecord, type ContainerRecord } from "../../src/model/container-record.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { startEmbeddedStore, type EmbeddedStore } from "../../src/store/embedded/embedded.ts";
import { systemClock } from "../../src/system/clock.ts";
import { openDnsClient } from "../../src/system/dns-client.ts";
import { makeMember } from "../mesh-makers.ts";
import { commandWorld, type CommandWorld } from "./command-world.ts";

const web1 = makeMember("web1", 0);
const home = makeMember("home", 1);

let world: CommandWorld;
let store: EmbeddedStore;
let server: DnsServer;
let socket: string;

function record(id: number, more: Partial<ContainerRecord>): string {
  return encodeContainerRecord({
    containerId: id.toString(16).padStart(64, "0"),
    project: "shop" as never,
    service: "api" as never,
    instance: null,
    address: null,
    state: "healthy",
    ports: [{ port: 80, protocol: "tcp" }],
    meta: {},
    rev: 1000 + id,
    ...more,
  });
}

beforeEach(async () => {
  world = commandWorld();
  world.addCommands = addDnsCommands;
  store = await startEmbeddedStore({
    listen: { host: "127.0.0.1", port: 0 },
    databasePath: join(world.folder, "state.db"),
    clock: systemClock,
  });
  const client = openStoreClient({ url: store.url });
  const rows: [string, number, string][] = [
    [web1.identity.id, 0, record(1, { address: "10.210.0.2" as never })],
    [web1.identity.id, 1, record(2, { address: "10.210.0.3" as never, state: "draining" })],
    [home.identity.id, 0, record(3, { address: "10.210.0.4" as never })],
    ["\u001b[31mhostile\u202e", 0, record(4, { address: "10.210.0.5" as never })],
    [home.identity.id, 1, "not a record"],
  ];
  await client.transact([
    ...[web1, home].map(({ signed: { id, record: text, sig } }) => ({
      sql: "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)",
      params: [id, text, sig],
    })),
    ...rows.map((params) => ({ sql: "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)", params })),
  ]);
  socket = join(world.folder, "control.sock");
  server = await startDnsServer(
    {
      version: 1,
      listen: ["127.0.0.1:0"],
      store: { url: store.url, tokenFile: null },
      agentSocket: null,
      self: web1.identity.id,
      clusterCidr: "10.210.0.0/16" as never,
      ttlSeconds: 60,
      localFirst: false,
      upstreams: ["127.0.0.1:9" as never],
      stateFile: null,
      metrics: null,
      controlSocket: socket,
    },
    {
      store: client,
      clock: systemClock,
      log: { info: () => undefined, warn: () => undefined },
      workerUrl: undefined,
      environment: {},
      pid: process.pid,
    },
  );
  await server.hasTable;
});

afterEach(async () => {
  await server.close();
  await store.close();
  world.close();
});

const traceOf = (...words: string[]) => world.run("dns", "trace", ...words);

describe("jiji dns trace", () => {
  test("shows rows, reasons and the answer that the server really gives", async () => {
    const result = await traceOf("shop-api", "--control-socket", socket);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatchSnapshot();
    const client = await openDnsClient({ address: "127.0.0.1", port: server.listening[0]!.port });
    const answer = await client.addresses("shop-api.jiji");
    client.close();
    const { trace } = JSON.parse((await traceOf("shop-api", "--json", "--control-socket", socket)).stdout) as {
      trace: { answer: { rcode: string; ttlSeconds: number; records: { data: string }[] } };
    };
    expect(trace.answer.records.map(({ data }) => data)).toEqual([...answer!.addresses]);
    expect(trace.answer).toMatchObject({ rcode: answer!.rcode, ttlSeconds: answer!.ttlSeconds! });
  });

  test("the same from the store alone", async () => {
    const asked = (await traceOf("shop-api", "--json", "--control-socket", socket)).stdout;
    const read = (await traceOf("shop-api", "--json", "--store", store.url, "--self", web1.identity.id)).stdout;
    const traceIn = (text: string) => (JSON.parse(text) as { trace: unknown }).trace;
    expect(traceIn(read)).toEqual(traceIn(asked));
  });

  test("names of others, of nobody, and hostile ones", async () => {
    const outside = await traceOf("example.com", "--control-socket", socket);
    expect(outside.stdout).toContain("not a name of ours: the question is passed on");
    const nobody = await traceOf("nosuch", "--control-socket", socket);
    expect(nobody).toMatchObject({ code: 0 });
    expect(nobody.stdout).toContain("answer: NXDOMAIN: no such name, SOA, may be kept for 5 s");
    const hostile = await traceOf("\u001b[2J\u202e.jiji", "--control-socket", socket);
    expect(hostile.stdout).toContain("\\u001b[2j\\u202e.jiji");
    expect(hostile.stdout).not.toContain("\u001b");
    expect((await traceOf("x".repeat(300), "--control-socket", socket)).code).toBe(2);
  });

  test("nobody to ask, and options that cannot be used", async () => {
    const gone = await traceOf("shop-api", "--control-socket", join(world.folder, "none.sock"));
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain("jiji-dns could not be asked at FOLDER/none.sock");
    expect(gone.stderr).toContain("hint: systemctl status jiji-dns");
    const away = await traceOf("shop-api", "--store", "http://127.0.0.1:9");
    expect(away.code).toBe(1);
    expect(away.stderr).toContain("the store at http://127.0.0.1:9 could not be read");
    for (const words of [
      ["--store", "nonsense"],
      ["--store", store.url, "--cidr", "10.0.0.0/4"],
      ["--store", store.url, "--self", "x"],
      ["--store", store.url, "--ttl", "-1"],
    ]) {
      expect((await traceOf("shop-api", ...words)).code).toBe(2);
    }
  });
});
