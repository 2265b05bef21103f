import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { FakeHost } from "../../test/fake-host.ts";
import { callNode } from "../../test/node-call.ts";
import { MemoryStore } from "../../test/memory-store.ts";
import { sampleRecord, sampleSpec } from "../../test/sample-spec.ts";
import type { Engine } from "../engine/engine.ts";
import type { AgentAnswer, AgentRequest } from "../model/agent-control.ts";
import { encodeIdentityFile, parseIdentityFile } from "../model/identity.ts";
import { encodeMembersFile, parseMembersFile, type MembersFile } from "../model/members-file.ts";
import type { GcDone, GcLine, GcRequest } from "../model/node/gc.ts";
import { encodeNodeSpecFile } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { found, unknown, type Reading } from "../model/reading.ts";
import type { Handler } from "./call.ts";
import { runNodeGc, type GcSources } from "./gc.ts";

const identity = encodeIdentityFile("web1", 0, generateKeyPairSync("ed25519").privateKey);
const self = parseIdentityFile(identity)!.identity.id;
const web2 = sampleRecord("web2", 1);
const old1 = sampleRecord("old1", 2);
const stranger = sampleRecord("nobody", 3);
const LIVE = "a".repeat(64);
const GONE = "b".repeat(64);

let store: MemoryStore;
let containers: Reading<readonly { id: string }[]>;
let asked: AgentRequest[];
let agent: (request: AgentRequest) => AgentAnswer;

beforeEach(() => {
  store = new MemoryStore();
  containers = found([{ id: LIVE }]);
  asked = [];
  agent = () => ({ type: "asked" });
});
afterEach(() => store.close());

function host(removed: MembersFile["removed"] = []): FakeHost {
  return new FakeHost({
    files: {
      [PATHS.spec]: encodeNodeSpecFile(sampleSpec()),
      [PATHS.identity]: identity,
      [PATHS.members]: encodeMembersFile({ version: 1, members: [web2, old1], removed }),
    },
  });
}

function put(owner: string, n: number, containerId: string | undefined): void {
  const record = {
    containerId,
    project: "shop",
    service: "api",
    instance: null,
    address: null,
    state: "healthy",
    rev: 1,
  };
  const text = containerId === undefined ? "no record" : JSON.stringify(record);
  store.change("INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)", [owner, n, text]);
}

async function run<Line>(request: GcRequest, on: FakeHost): Promise<{ code: number; lines: Line[] }> {
  const sources: GcSources = {
    openEngine: () => ({ containers: async () => containers }) as unknown as Engine,
    openStore: async () => store,
    askAgent: async (question) => {
      asked.push(question);
      return agent(question);
    },
  };
  const handler: Handler<"gc"> = (checked, call) => runNodeGc(checked, call, sources);
  const { code, lines } = await callNode("gc", request, handler, { host: on });
  return { code, lines: lines as Line[] };
}

async function observe(on: FakeHost): Promise<{ rows: unknown[]; seen: Extract<GcLine, { type: "seen" }> }> {
  const { lines } = await run<GcLine>({ action: "observe" }, on);
  const seen = lines.at(-1);
  if (seen?.type !== "seen") throw new Error(JSON.stringify(lines));
  return { rows: lines.flatMap((line) => (line.type === "rows" ? line.rows : [])), seen };
}

const REMOVED = { id: old1.id, name: "old1", subnet: 2 } as const;

describe("observe", () => {
  test("own rows without a container, and rows of others than members", async () => {
    put(self, 0, LIVE);
    put(self, 1, GONE);
    put(self, 2, undefined);
    store.change("INSERT INTO containers (server_id, n) VALUES (?, 3)", [self]);
    put(web2.id, 0, GONE);
    put(old1.id, 0, GONE);
    put(stranger.id, 0, undefined);
    store.change("INSERT INTO servers (id, record) VALUES (?, ?)", [old1.id, old1.record]);
    store.change("INSERT INTO removed_servers (id) VALUES (?)", [old1.id]);
    const { rows, seen } = await observe(host([REMOVED]));
    const strangers = [
      { table: "containers", owner: old1.id, n: 0, what: "shop / api", containerId: GONE, why: "not a member" },
      { table: "containers", owner: stranger.id, n: 0, what: null, containerId: null, why: "not a member" },
    ].toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
    expect(rows).toEqual([
      { table: "containers", owner: self, n: 1, what: "shop / api", containerId: GONE, why: "absent" },
      { table: "containers", owner: self, n: 2, what: null, containerId: null, why: "absent" },
      { table: "servers", owner: old1.id, n: null, what: "old1", containerId: null, why: "not a member" },
      ...strangers,
    ]);
    expect(seen).toMatchObject({ self, uncompared: null, tombstones: [old1.id], removed: [REMOVED], unlisted: 0 });
    expect(seen.members.map(({ name }) => name)).toEqual(["web2"]);
  });

  test("an engine that does not answer judges nothing", async () => {
    put(self, 1, GONE);
    containers = unknown("docker is away");
    const { rows, seen } = await observe(host());
    expect(rows.filter((row) => (row as { why: string }).why === "absent")).toEqual([]);
    expect(seen.uncompared).toBe("docker is away");
  });

  test("never writes", async () => {
    put(self, 1, GONE);
    const on = host([REMOVED]);
    const before = on.changes;
    await observe(on);
    expect(store.writes).toEqual([]);
    expect(on.changes).toBe(before);
  });

  test("a store that is away is a failure, and no empty list", async () => {
    store.setAway(true);
    expect(await run({ action: "observe" }, host())).toMatchObject({ code: 1, lines: [{ type: "failed" }] });
  });
});

function membersOf(on: FakeHost): MembersFile {
  const entry = on.entries.get(PATHS.members);
  if (entry?.type !== "file") throw new Error("no members.json");
  return parseMembersFile(entry.content.toString("utf8"))!;
}

const COLLECT = {
  action: "collect",
  removed: [{ id: old1.id, name: "old1" }],
  deleteRows: true,
  recheckOwn: false,
  recheckOthers: [],
} satisfies GcRequest;

describe("collect", () => {
  test("deletes a removed server's rows, and only those; the number is free, the tombstone stays", async () => {
    put(old1.id, 0, GONE);
    put(old1.id, 1, LIVE);
    put(web2.id, 0, GONE);
    put(self, 0, LIVE);
    store.change("INSERT INTO servers (id, record) VALUES (?, ?), (?, ?)", [
      ...[old1.id, old1.record],
      ...[web2.id, web2.record],
    ]);
    const on = host([REMOVED]);
    const { lines } = await run<GcDone>(COLLECT, on);
    expect(lines).toEqual([
      {
        type: "collected",
        deleted: { containers: 2, servers: 1 },
        freed: [old1.id],
        left: null,
        asked: [],
        problems: [],
      },
    ]);
    expect(new Set(store.rows("SELECT server_id FROM containers").flat())).toEqual(new Set([self, web2.id]));
    expect(store.rows("SELECT id FROM servers")).toEqual([[web2.id]]);
    expect(store.rows("SELECT id, record FROM removed_servers")).toEqual([[old1.id, '{"name":"old1","subnet":null}']]);
    expect(membersOf(on).removed).toEqual([{ ...REMOVED, subnet: null }]);
    expect(membersOf(on).members).toHaveLength(2);
  });

  test("again changes nothing", async () => {
    const on = host([REMOVED]);
    await run(COLLECT, on);
    const [changes, writes] = [on.changes, store.writes.length];
    const { lines } = await run<GcDone>(COLLECT, on);
    expect(lines[0]).toMatchObject({ deleted: { containers: 0, servers: 0 }, freed: [old1.id], problems: [] });
    expect([on.changes, store.writes.length]).toEqual([changes, writes]);
  });

  test("a server that has not heard of the removal learns it", async () => {
    const on = host();
    expect((await run<GcDone>({ ...COLLECT, deleteRows: false }, on)).lines[0]?.freed).toEqual([old1.id]);
    expect(membersOf(on).removed).toEqual([{ ...REMOVED, subnet: null }]);
  });

  test("rows that could not be deleted keep their number", async () => {
    const on = host([REMOVED]);
    store.setAway(true);
    const { lines } = await run<GcDone>(COLLECT, on);
    expect(lines[0]).toMatchObject({
      deleted: null,
      freed: [],
      problems: ["rows were not deleted: connection refused"],
    });
    expect(membersOf(on).removed).toEqual([REMOVED]);
  });

  test("own rows are the agent's: it is asked, and waited for", async () => {
    put(self, 1, GONE);
    agent = () => {
      store.change("DELETE FROM containers WHERE n = 1");
      return { type: "asked" };
    };
    const request = {
      ...COLLECT,
      removed: [],
      deleteRows: false,
      recheckOwn: true,
      recheckOthers: [web2.id as string],
    };
    const { lines } = await run<GcDone>(request, host());
    expect(lines[0]).toMatchObject({ deleted: null, left: 0, asked: [web2.id], problems: [] });
    expect(asked).toEqual([{ type: "recheck" }, { type: "recheck", server: web2.id }]);
    expect(store.writes).toEqual([]);
  });

  test("an agent that is down leaves the rows, and is named", async () => {
    put(self, 1, GONE);
    agent = () => {
      throw new Error("connect ENOENT");
    };
    const { lines } = await run<GcDone>({ ...COLLECT, removed: [], deleteRows: false, recheckOwn: true }, host());
    expect(lines[0]).toMatchObject({ left: null, problems: ["its agent did not look: connect ENOENT"] });
    expect(store.rows("SELECT n FROM containers")).toEqual([[1]]);
  });

  test("an agent that does not delete is seen", async () => {
    put(self, 1, GONE);
    const { lines } = await run<GcDone>({ ...COLLECT, removed: [], deleteRows: false, recheckOwn: true }, host());
    expect(lines[0]).toMatchObject({ left: 1 });
  });

  test("an id that is none is refused before anything", async () => {
    const request = { ...COLLECT, removed: [{ id: "x' OR 1", name: "old1" }] };
    expect(await run(request, host())).toMatchObject({ code: 1, lines: [{ type: "failed" }] });
    expect(store.writes).toEqual([]);
  });

  test("what only the store calls removed loses its rows, and is not written into members.json", async () => {
    put(stranger.id, 0, GONE);
    const on = host([REMOVED]);
    const request = { ...COLLECT, removed: [{ id: stranger.id, name: "" }] };
    const { lines } = await run<GcDone>(request, on);
    expect(lines[0]).toMatchObject({ deleted: { containers: 1, servers: 0 }, freed: [], problems: [] });
    expect(membersOf(on).removed).toEqual([REMOVED]);
  });

  test("who only the store calls removed, and is a member by now, loses nothing", async () => {
    put(web2.id, 0, LIVE);
    put(self, 0, LIVE);
    const on = host();
    const request = {
      ...COLLECT,
      removed: [
        { id: web2.id, name: "" },
        { id: self, name: "" },
      ],
    };
    const { lines } = await run<GcDone>(request, on);
    expect(lines[0]).toMatchObject({ deleted: { containers: 0, servers: 0 }, freed: [] });
    expect(store.writes).toEqual([]);
    expect(membersOf(on).removed).toEqual([]);
  });

  test("no server removes itself", async () => {
    const on = host();
    await run({ ...COLLECT, removed: [{ id: self, name: "web1" }], deleteRows: false }, on);
    expect(membersOf(on).removed).toEqual([]);
  });
});
