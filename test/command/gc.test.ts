import { afterEach, beforeEach, expect, test } from "bun:test";
import type { GcDone, GcLine, GcRequest, GcRow } from "../../src/model/node/gc.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { sampleRecord } from "../sample-spec.ts";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

const old1 = sampleRecord("old1", 7);

let world: CommandWorld;
/** what each server was asked to collect */
let collected: { server: string; request: Extract<GcRequest, { action: "collect" }> }[];
let rows: Record<string, GcRow[]>;
/** the number that the removed server still holds on each */
let held: Record<string, number | null>;
let unlisted: number;
let tombstones: string[];
let done: Partial<GcDone>;

beforeEach(async () => {
  world = commandWorld("web1", "home");
  world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
  expect((await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion)).code).toBe(0);
  collected = [];
  rows = { web1: [], home: [] };
  held = { web1: null, home: null };
  unlisted = 0;
  tombstones = [old1.id];
  done = {};
  for (const name of ["web1", "home"]) {
    world.servers[name]!.answers.set("gc", (request: GcRequest) =>
      request.action === "observe" ? observed(name) : [collect(name, request)],
    );
  }
});

afterEach(() => world.close());

function idOf(name: string): string {
  const { identity } = world.servers[name]!.facts;
  return identity.state === "found" ? identity.value.id : "";
}

function observed(name: string): GcLine[] {
  const members = ["web1", "home"].map((each, subnet) => ({ id: idOf(each), name: each, subnet }));
  const seen = {
    type: "seen",
    self: idOf(name),
    unlisted,
    members,
    removed: [{ id: old1.id, name: "old1", subnet: held[name] }],
    tombstones,
    uncompared: null,
  };
  return [{ type: "rows", rows: rows[name]! }, seen as never];
}

function collect(server: string, request: Extract<GcRequest, { action: "collect" }>): GcDone {
  collected.push({ server, request });
  return {
    type: "collected",
    deleted: request.deleteRows ? { containers: 1, servers: 1 } : null,
    freed: request.removed.map(({ id }) => id),
    left: request.recheckOwn ? 0 : null,
    asked: [],
    problems: [],
    ...done,
  };
}

function staleEverywhere(): void {
  const base = { containerId: "c".repeat(64), what: "shop / api" };
  const removed: GcRow[] = [
    { ...base, table: "containers", owner: old1.id, n: 0, why: "not a member" },
    { table: "servers", owner: old1.id, n: null, what: "old1", containerId: null, why: "not a member" },
  ];
  held = { web1: 7, home: 7 };
  rows = {
    web1: [...removed, { ...base, table: "containers", owner: idOf("web1"), n: 4, why: "absent" }],
    home: removed,
  };
}

test("a clean mesh", async () => {
  const result = await world.run("network", "gc");
  expect(result).toMatchObject({ code: 0, stdout: "nothing is stale\n", stderr: "" });
  expect((await world.run("network", "gc", "--force", "--yes")).code).toBe(0);
  expect(collected).toEqual([]);
});

test("without --force: every row with its reason, and nothing is deleted", async () => {
  staleEverywhere();
  const result = await world.run("network", "gc");
  expect(result.code).toBe(0);
  expect(result.stdout.split("\n").map((line) => line.replaceAll(/ {2,}/g, " | "))).toEqual(
    expect.arrayContaining([
      "ROW | OF | WHAT | CONTAINER | WHY | WITH --force",
      "containers 0 | old1 | shop / api | cccccccccccc | its server was removed | delete",
      "servers | old1 | old1 | - | its server was removed | delete",
      "containers 4 | web1 | shop / api | cccccccccccc | its server has no such container | ask its server",
      "old1 was removed; its number 7 is to be settled on home, web1",
    ]),
  );
  expect(result.stderr).toBe("dry run: nothing was deleted; --force deletes, after asking\n");
  expect(collected).toEqual([]);
});

test("--force asks; the rows go once, each server frees the number, the owner's agent looks after its own", async () => {
  staleEverywhere();
  world.answer = true;
  const result = await world.run("network", "gc", "--force");
  expect(result.code).toBe(0);
  expect(world.questions.at(-1)).toBe(
    "Delete 2 rows of removed servers, have 1 row deleted by their own servers and free the number of removed servers?",
  );
  expect(collected.map(({ request }) => request.deleteRows)).toEqual([true, false]);
  expect(collected.map(({ request }) => request.removed)).toEqual([
    [{ id: old1.id, name: "old1" }],
    [{ id: old1.id, name: "old1" }],
  ]);
  expect(collected.filter(({ request }) => request.recheckOwn).map(({ server }) => server)).toEqual(["web1"]);
  expect(result.stderr).toContain("deleted 2 rows of removed servers; web1 deleted their own; free again: number 7");
});

test("no number is freed before rows are gone that a flood of others kept from being listed", async () => {
  held = { web1: 7, home: 7 };
  unlisted = 1;
  await world.run("network", "gc", "--force", "--yes");
  expect(collected.map(({ request }) => request.deleteRows)).toEqual([true, false]);
});

test("a store full of made-up removals leaves room for the operators'", async () => {
  staleEverywhere();
  tombstones = Array.from({ length: 1000 }, (_, n) => `${old1.id.slice(0, -4)}${1000 + n}`);
  expect((await world.run("network", "gc", "--force", "--yes")).code).toBe(0);
  expect(collected).toHaveLength(2);
  for (const { request } of collected) {
    expect(request.removed).toHaveLength(1000);
    expect(request.removed[0]).toEqual({ id: old1.id, name: "old1" });
  }
});

test("who says no deletes nothing: exit 130; without a terminal it needs --yes: exit 2", async () => {
  staleEverywhere();
  expect((await world.run("network", "gc", "--force")).code).toBe(2);
  world.answer = false;
  expect((await world.run("network", "gc", "--force")).code).toBe(130);
  expect((await world.run("network", "gc", "--yes")).code).toBe(2);
  expect(collected).toEqual([]);
});

test("a silent member keeps its rows and is named: exit 4; its agent is asked through another's", async () => {
  world.servers["home"]!.refusal = new ConnectError("unreachable", "gone", "look");
  const dry = await world.run("network", "gc");
  expect(dry.code).toBe(4);
  expect(dry.stderr).toBe("warning: home was not asked, so its own rows stay as they are: gone\n");
  expect((await world.run("network", "gc", "--force", "--yes")).code).toBe(4);
  expect(collected).toMatchObject([
    { server: "web1", request: { removed: [{ name: "old1" }], recheckOthers: [idOf("home")] } },
  ]);
  expect(collected[0]!.request.deleteRows).toBe(false);
});

test("what did not work is named: exit 4, and the rows are tried on the next server", async () => {
  staleEverywhere();
  done = { deleted: null, problems: ["rows were not deleted: the store is away"], left: 1 };
  const result = await world.run("network", "gc", "--force", "--yes");
  expect(result.code).toBe(4);
  expect(result.stderr).toContain("error: web1: rows were not deleted: the store is away");
  expect(result.stderr).toContain("error: web1: its agent left 1 row as they were");
  expect(collected.map(({ request }) => request.deleteRows)).toEqual([true, true]);
});

test("--json", async () => {
  staleEverywhere();
  const dry = JSON.parse((await world.run("network", "gc", "--json")).stdout) as unknown;
  expect(dry).toMatchObject({
    ok: true,
    dryRun: true,
    asked: ["web1", "home"],
    stale: expect.arrayContaining([expect.objectContaining({ by: "delete", reason: "its server was removed" })]),
    removed: [{ name: "old1", subnet: 7, openOn: ["home", "web1"] }],
    outcome: null,
  });
  const forced = JSON.parse((await world.run("network", "gc", "--force", "--yes", "--json")).stdout) as unknown;
  expect(forced).toMatchObject({ dryRun: false, outcome: { servers: [{ server: "web1" }, { server: "home" }] } });
});
