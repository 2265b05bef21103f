import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeEngine } from "../../test/fake-engine.ts";
import { FakeHost } from "../../test/fake-host.ts";
import { MemoryStore } from "../../test/memory-store.ts";
import { openEngine } from "../engine/open.ts";
import type { AgentAnswer, AgentRequest } from "../model/agent-control.ts";
import { agentLineSchema, type AgentLine, type AgentStateLine } from "../model/agent-protocol.ts";
import { encodeIdentityFile, parseIdentityFile } from "../model/identity.ts";
import { encodeMembersFile, parseMembersFile } from "../model/members-file.ts";
import { PATHS } from "../model/paths.ts";
import { signServerRecord, type ServerRecord, type SignedServerRecord } from "../model/server-record.ts";
import { systemClock } from "../system/clock.ts";
import type { Files } from "../system/host.ts";
import type { Udp } from "../system/udp-port.ts";
import { askAgent } from "../system/agent-client.ts";
import { loadSelf } from "./load-self.ts";
import { startAgent, type Agent } from "./run.ts";

const ID = "a".repeat(64);

const never = (): Promise<never> => new Promise(() => undefined);
const NO_NETWORK: Udp = { bind: never, bindBatched: never, connect: never };

const SPEC = {
  version: 1,
  name: "web1",
  subnet: 3,
  cluster: { cidr: "10.210.0.0/16", mtuBytes: 1420 },
  engine: "docker",
  store: { kind: "embedded", holder: 3 },
  dns: { ttlSeconds: 60, localFirst: false, upstreams: [] },
  endpoints: [],
  nat: false,
  release: { jiji: { version: "0.1.0", sha256: "0".repeat(64) } },
};

function newServer(name: string, subnet: number, rev = 1) {
  const { privateKey } = generateKeyPairSync("ed25519");
  const withKey = parseIdentityFile(encodeIdentityFile(name, subnet, privateKey));
  if (withKey === undefined) throw new Error("refused");
  const record = {
    ...withKey.identity,
    publicKey: Buffer.alloc(32, subnet + 1).toString("base64"),
    endpoints: [],
    nat: false,
    version: "0.1.0",
    rev,
  } as unknown as ServerRecord;
  const sign = (change: Partial<ServerRecord> = {}): SignedServerRecord =>
    signServerRecord({ ...record, ...change }, privateKey);
  return { ...withKey, record, sign, file: encodeIdentityFile(name, subnet, privateKey) };
}

let folder: string;
let engine: FakeEngine;
let store: MemoryStore;
let host: FakeHost;
let agent: Agent | undefined;
let lines: string[];
let reconciled: string[][];
let fileWatcher: () => void;
let goodAddresses: Set<string>;
const self = newServer("web1", 3);

/** The fake machine's files, but for the folder where real sockets are made. */
function filesWithSockets(): Files {
  return {
    ...(Object.fromEntries(
      ["read", "stat", "list", "write", "link", "move", "hash", "withLock"].map((name) => [
        name,
        (...args: unknown[]) => (host.files[name as keyof Files] as (...all: unknown[]) => unknown)(...args),
      ]),
    ) as unknown as Files),
    makeFolder: async () => undefined,
    setOwner: async () => undefined,
    remove: async () => undefined,
  };
}

async function start(): Promise<void> {
  agent = await startAgent(
    {
      version: 1,
      store: { url: "http://127.0.0.1:1", tokenFile: "/none" },
      engine: { kind: "docker", socket: engine.socketPath, network: "jiji" },
      sockets: {
        agent: join(folder, "agent.sock"),
        store: join(folder, "store.sock"),
        control: join(folder, "control.sock"),
      },
    },
    await loadSelf(host.files),
    {
      engine: openEngine("docker", engine.socketPath),
      store,
      files: filesWithSockets(),
      clock: systemClock,
      udp: NO_NETWORK,
      random: Math.random,
      check: async (address) => goodAddresses.has(address),
      log: { info: (line) => lines.push(line), warn: (line) => lines.push(line) },
      peers: { reconcile: async (members) => void reconciled.push(members.map(({ name }) => name)) },
      watchFolder: (_, onChange) => {
        fileWatcher = onChange;
        return { close: () => undefined };
      },
      startRelay: async () => ({ close: () => undefined }),
    },
  );
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 4000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}\n${lines.join("\n")}`);
    await Bun.sleep(2);
  }
}

const ownRows = (): { n: number; [key: string]: unknown }[] =>
  store
    .rows("SELECT n, record FROM containers WHERE server_id = ? AND record <> '' ORDER BY n", [self.identity.id])
    .map(([n, record]) => ({ n: Number(n), ...(JSON.parse(String(record)) as object) }));

/** Connects to agent.sock and keeps what it says. */
async function listen(): Promise<{ socket: Socket; said: AgentLine[]; states: () => AgentStateLine[] }> {
  const socket = connect(join(folder, "agent.sock"));
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  const said: AgentLine[] = [];
  let rest = "";
  socket.on("data", (chunk) => {
    const parts = (rest + chunk.toString()).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) said.push(agentLineSchema.parse(JSON.parse(part)));
  });
  return { socket, said, states: () => said.filter((line): line is AgentStateLine => line.type === "state") };
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "jiji-agent-"));
  engine = new FakeEngine(join(folder, "engine.sock"));
  await engine.start();
  store = new MemoryStore();
  host = new FakeHost();
  host.put(PATHS.identity, self.file);
  host.put(PATHS.spec, JSON.stringify(SPEC));
  host.put(PATHS.members, encodeMembersFile({ version: 1, members: [self.sign()], removed: [] }));
  lines = [];
  reconciled = [];
  goodAddresses = new Set();
});

afterEach(async () => {
  await agent?.close();
  agent = undefined;
  await engine.stop();
  rmSync(folder, { recursive: true });
});

describe("containers", () => {
  test("what runs is in the store, follows each event, and leaves it when it is removed", async () => {
    engine.containers.set(ID, { id: ID, health: "starting" });
    await start();
    await until("published as starting", () => ownRows()[0]?.["state"] === "starting");
    engine.put({ id: ID, health: "healthy" }, "health_status: healthy");
    await until("healthy", () => ownRows()[0]?.["state"] === "healthy");
    engine.put({ id: ID, networks: { jiji: "10.210.3.9" } }, "start");
    await until("the new address", () => ownRows()[0]?.["address"] === "10.210.3.9");
    engine.put({ id: ID, state: "exited", networks: { jiji: "" } }, "die");
    await until("stopped", () => ownRows()[0]?.["state"] === "stopped");
    expect(ownRows()[0]?.["address"]).toBeNull();
    engine.remove(ID);
    await until("no row", () => ownRows().length === 0);
  });

  test("nothing is written when nothing changed", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("published", () => ownRows().length === 1);
    const written = store.writes.length;
    engine.put({ id: ID }, "start");
    engine.emit({ Type: "network", Action: "update", Actor: { ID: "n" } });
    const asked = engine.requests.length;
    await until("looked again", () => engine.requests.length >= asked + 3);
    expect(store.writes.length).toBe(written);
  });

  test("an engine that goes away takes no row with it, and what changed meanwhile is seen when it is back", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("published", () => ownRows().length === 1);
    await engine.stop();
    await until("noticed", () => lines.some((line) => line.includes("rows stay")));
    engine.containers.clear();
    expect(ownRows()).toHaveLength(1);
    engine.containers.set("b".repeat(64), { id: "b".repeat(64) });
    await engine.start();
    await until("the other container", () => ownRows()[0]?.["containerId"] === "b".repeat(64));
    expect(ownRows().map(({ n }) => n)).toEqual([0]);
  });

  test("an engine that is away at the start deletes no row", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("published", () => ownRows().length === 1);
    await agent?.close();
    await engine.stop();
    await start();
    await until("noticed", () => lines.some((line) => line.includes("rows stay")));
    expect(ownRows()).toHaveLength(1);
  });

  test("an agent that starts anew over the same containers writes nothing", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("published", () => ownRows().length === 1);
    await agent?.close();
    const written = store.writes.length;
    await start();
    const { states } = await listen();
    await until("compared", () => states().at(-1)?.ready === true);
    expect(store.writes.length).toBe(written);
  });

  test("problems of a container are said once, with their texts escaped", async () => {
    engine.containers.set(ID, { id: ID, name: "x\u202e", labels: { "jiji.project": "shop", "jiji.service": "a\nb" } });
    await start();
    const about = (): string[] => lines.filter((line) => line.includes("no DNS label"));
    await until("said", () => about().length === 1);
    engine.put({ id: ID }, "start");
    const asked = engine.requests.length;
    await until("looked again", () => engine.requests.length > asked);
    expect(about()).toHaveLength(1);
    expect(about()[0]).not.toContain("\n");
  });
});

describe("health and draining", () => {
  const state = (): unknown => ownRows()[0]?.["state"];
  const control = (request: AgentRequest): Promise<AgentAnswer> => askAgent(join(folder, "control.sock"), request);

  test("a container with jiji.check is published as healthy only after its check says so", async () => {
    const labels = {
      "jiji.project": "shop",
      "jiji.service": "web",
      "jiji.check": "http:80/",
      "jiji.check.unhealthy": "1",
    };
    engine.containers.set(ID, { id: ID, labels });
    await start();
    await until("not healthy", () => state() === "unhealthy");
    goodAddresses.add("10.210.3.2");
    engine.put({ id: ID, startedAt: "2026-11-23T05:00:00Z" }, "start");
    await until("healthy", () => state() === "healthy");
  });

  test("the engine's stop signal hides a container before it dies, and a start brings it back", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("healthy", () => state() === "healthy");
    engine.put({ id: ID }, "kill", { signal: "1" });
    engine.put({ id: ID }, "kill", { signal: "15" });
    await until("draining", () => state() === "draining");
    engine.put({ id: ID, state: "exited", networks: { jiji: "" } }, "die");
    await until("stopped", () => state() === "stopped");
    const again = { state: "running", networks: { jiji: "10.210.3.2" }, startedAt: "2026-11-23T05:00:00Z" };
    engine.put({ id: ID, ...again }, "start");
    await until("healthy again", () => state() === "healthy");
    const written = store.writes.filter(({ sql }) => sql.includes("containers"));
    expect(written.map(({ params }) => JSON.parse(String((params as unknown[])[2])).state as string)).toEqual([
      "healthy",
      "draining",
      "stopped",
      "healthy",
    ]);
  });

  test("drain hides by command, lasts over a restart of the agent, and can be taken back", async () => {
    engine.containers.set(ID, { id: ID, name: "web-1" });
    await start();
    await until("healthy", () => state() === "healthy");
    expect(await control({ type: "drain", container: "web-1" })).toMatchObject({ type: "drained", containerId: ID });
    expect(state()).toBe("draining");
    await agent?.close();
    await start();
    const { states } = await listen();
    await until("ready", () => states().length > 0);
    await until("settled", () => lines.filter((line) => line.includes("containers on network")).length === 2);
    expect(state()).toBe("draining");
    await control({ type: "drain", container: ID.slice(0, 12), undo: true });
    expect(state()).toBe("healthy");
  });

  test("a drain of what fits nothing or several is refused", async () => {
    engine.containers.set(ID, { id: ID });
    engine.containers.set(`${ID.slice(1)}b`, { id: `${ID.slice(1)}b`, networks: { jiji: "10.210.3.3" } });
    await start();
    await until("published", () => ownRows().length === 2);
    expect(await control({ type: "drain", container: "none" })).toMatchObject({ type: "refused", candidates: [] });
    const refused = await control({ type: "drain", container: "aaaa" });
    expect(refused.type === "refused" && refused.candidates.length).toBe(2);
    expect(await control({ type: "reboot" } as never)).toMatchObject({ type: "refused" });
  });

  test("status says how things are", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("published", () => ownRows().length === 1);
    const status = await control({ type: "status" });
    expect(status).toMatchObject({
      type: "status",
      engine: { kind: "docker", isAnswering: true },
      containers: { known: 1, published: 1 },
      peers: [],
    });
  });
});

describe("the store", () => {
  test("emptied under a running agent is filled again", async () => {
    for (let n = 0; n < 50; n++) {
      const id = n.toString(16).padStart(64, "0");
      engine.containers.set(id, { id, networks: { jiji: `10.210.3.${n + 2}` } });
    }
    await start();
    await until("published", () => ownRows().length === 50);
    store.wipe();
    await until("filled again", () => ownRows().length === 50);
    await until("the server's row", () => store.rows("SELECT id FROM servers").length === 1);
  });

  test("away at the start is waited for", async () => {
    store.setAway(true);
    engine.containers.set(ID, { id: ID });
    await start();
    const { states } = await listen();
    await until("a state", () => states().length > 0);
    expect(states().at(-1)?.ready).toBe(false);
    store.setAway(false);
    await until("published", () => ownRows().length === 1);
    await until("ready", () => states().at(-1)?.ready === true);
  });

  test("a row that somebody else changed, deleted or added is mended", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    await until("published", () => ownRows().length === 1);
    const before = ownRows()[0];
    const forged = JSON.stringify({
      ...before,
      n: undefined,
      address: "10.210.3.66",
      rev: Number(before?.["rev"]) + 9,
    });
    store.change("UPDATE containers SET record = ? WHERE server_id = ?", [forged, self.identity.id]);
    await until("mended", () => ownRows()[0]?.["address"] === "10.210.3.2");
    expect(ownRows()[0]?.["rev"]).toBeGreaterThan(Number(before?.["rev"]) + 9);
    store.change("DELETE FROM containers WHERE server_id = ?", [self.identity.id]);
    await until("put back", () => ownRows().length === 1);
    store.change("INSERT INTO containers (server_id, n, record) VALUES (?, 77, ?)", [self.identity.id, forged]);
    store.change("INSERT INTO containers (server_id, n, record) VALUES (?, -1, ?)", [self.identity.id, forged]);
    await until("removed", () => ownRows().length === 1);
  });
});

describe("members", () => {
  const other = newServer("db1", 4);
  const insert = (row: SignedServerRecord): void =>
    store.change("INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)", [row.id, row.record, row.sig]);
  const remembered = async (): Promise<string[]> => {
    const reading = await host.files.read(PATHS.members);
    const file = reading.state === "found" ? parseMembersFile(reading.value) : undefined;
    return (file?.members ?? []).map(({ id }) => id).toSorted();
  };

  test("the own signed row is written, and another's is learned, remembered and made a peer", async () => {
    await start();
    await until("own row", () => store.rows("SELECT id FROM servers").length === 1);
    expect(store.rows("SELECT id, record, sig FROM servers")).toEqual([Object.values(self.sign())]);
    insert(other.sign());
    await until("a peer", () => reconciled.at(-1)?.join() === "web1,db1");
    expect(await remembered()).toEqual([self.identity.id, other.identity.id].toSorted());
    const { states } = await listen();
    await until("told", () => states().at(-1)?.servers.length === 2);
    store.wipe();
    await until("own row again", () => store.rows("SELECT id FROM servers").length === 1);
    expect(reconciled.at(-1)).toEqual(["web1", "db1"]);
  });

  test("a row that is forged, or claims a pinned number, is ignored and said", async () => {
    await start();
    await until("own row", () => store.rows("SELECT id FROM servers").length === 1);
    insert({ ...other.sign(), sig: self.sign().sig });
    await until("said", () => lines.some((line) => line.includes("signature is not")));
    insert(newServer("evil", 3).sign());
    await until("said", () => lines.some((line) => line.includes("claims number 3, which is web1's")));
    expect(await remembered()).toEqual([self.identity.id]);
  });

  test("a member that setup put into members.json is taken over without the store", async () => {
    store.setAway(true);
    await start();
    const members = [self.sign(), other.sign()];
    host.put(PATHS.members, encodeMembersFile({ version: 1, members, removed: [] }));
    fileWatcher();
    const { states } = await listen();
    await until("told", () => states().at(-1)?.servers.length === 2);
  });

  test("a store that holds a newer row of this server's own making is outdone, not believed", async () => {
    insert(self.sign({ rev: 50, version: "9.9.9" }));
    await start();
    const row = (): { rev: number; version: string } =>
      JSON.parse(String(store.rows("SELECT record FROM servers")[0]?.[0])) as { rev: number; version: string };
    await until("outdone", () => row().version === "0.1.0");
    expect(row().rev).toBeGreaterThan(50);
  });
});

describe("agent.sock", () => {
  test("says the state first, and says readiness after a look at the engine", async () => {
    engine.containers.set(ID, { id: ID });
    await start();
    const { said, states, socket } = await listen();
    await until("ready", () => states().at(-1)?.ready === true);
    expect(said[0]?.type).toBe("state");
    expect(states().at(-1)).toMatchObject({
      self: self.identity.id,
      unreachable: [],
      servers: [{ name: "web1", subnet: 3 }],
    });
    await until("networks", () => states().at(-1)?.networks.join() === "10.210.3.0/24,172.17.0.0/16");
    socket.destroy();
  });

  test("an agent that is restarted stays ready until the next boot", async () => {
    await start();
    const first = await listen();
    await until("ready", () => first.states().at(-1)?.ready === true);
    await agent?.close();
    await engine.stop();
    await start();
    const second = await listen();
    await until("a state", () => second.states().length > 0);
    expect(second.states()[0]?.ready).toBe(true);
  });

  test("a stop ends every connection", async () => {
    await start();
    const { socket } = await listen();
    let isClosed = false;
    socket.on("close", () => (isClosed = true));
    await agent?.close();
    agent = undefined;
    await until("closed", () => isClosed);
  });
});
