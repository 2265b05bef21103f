import { afterEach, describe, expect, test } from "bun:test";
import type { TracedRow } from "../../src/model/dns-trace.ts";
import type { InspectAnswer, RowSide } from "../../src/model/node/inspect.ts";
import { ABSENT, found, unknown } from "../../src/model/reading.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { API_ID as ID, apiContainer } from "./api-container.ts";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;

afterEach(() => world.close());

const row: RowSide = {
  ...apiContainer.published!,
  rank: 0,
  serverId: "id-web1",
  server: "web1",
  n: 0,
  containerId: ID,
  rev: 1_764_000_000_000,
};

const traced: TracedRow = {
  server: "web1",
  serverId: "id-web1",
  n: 0,
  containerId: ID,
  address: "10.210.1.2",
  state: "healthy",
  rev: row.rev,
  source: "store",
  names: [
    { name: "shop-api.jiji", isHeld: true },
    { name: "shop-api-one.jiji", isHeld: true },
  ],
  isAnswered: true,
};

/** What each server knows; the container is web1's. */
type Sides = Partial<Pick<InspectAnswer, "server" | "engine" | "store" | "dns">>;

async function startMesh(sides: Readonly<Record<string, Sides>>): Promise<void> {
  const names = Object.keys(sides);
  world = commandWorld(...names);
  world.write(".jiji/deploy.yml", deployFile(names));
  expect((await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion)).code).toBe(0);
  for (const name of names) knows(name, sides[name]!);
}

function knows(name: string, sides: Sides): void {
  world.servers[name]!.answers.set("inspect", ({ container }: { container: string }) => [
    {
      type: "inspected",
      server: { id: `id-${name}`, name, isNat: false },
      engineKind: "docker",
      engine: found([]),
      store: found([row]),
      isCut: false,
      ...sides,
      dns: container === ID ? (sides.dns ?? found({ source: "store", rows: [traced] })) : ABSENT,
    },
  ]);
}

const inspect = (text: string, ...words: string[]) => world.run("network", "inspect", "--container", text, ...words);

describe("inspect", () => {
  test("engine, store and DNS side by side, on all servers: exit 0 when all is well", async () => {
    await startMesh({ web1: { engine: found([apiContainer]) }, home: {} });
    const result = await inspect("api-1");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatchSnapshot();
    expect(JSON.parse((await inspect("api-1", "--json")).stdout)).toMatchObject({
      container: { containerId: ID, server: "web1", name: "api-1", service: "shop-api" },
      differences: 0,
      exitCode: 0,
      servers: [
        { server: "web1", isOwner: true },
        { server: "home", isOwner: false },
      ],
    });
  });

  test("differences are marked without colours: exit 5", async () => {
    const reason = "its server cannot be reached from here";
    await startMesh({
      web1: {
        engine: found([
          { ...apiContainer, health: "unhealthy", published: { ...apiContainer.published!, state: "unhealthy" } },
        ]),
      },
      home: { dns: found({ source: "store", rows: [{ ...traced, isAnswered: false, why: reason }] }) },
      db1: {
        store: found([{ ...row, rev: row.rev - 1, state: "starting" }]),
        dns: found({ source: "store", rows: [] }),
      },
    });
    const result = await inspect("abc1");
    expect(result.code).toBe(5);
    expect(result.stdout).toMatchSnapshot();
    expect(result.stdout).not.toContain("\u001b");
    expect(result.stdout).toMatch(/state +running, unhealthy +healthy +healthy +≠\n/);
  });

  test("draining, a check of its own and a stopped container are no differences", async () => {
    const draining = { ...row, state: "draining" };
    const drained = { ...traced, state: "draining", isAnswered: false, why: "it is draining" };
    const sides = { store: found([draining]), dns: found({ source: "store" as const, rows: [drained] }) };
    await startMesh({ web1: { engine: found([apiContainer]), ...sides }, home: sides });
    const result = await inspect("api-1");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("it is draining, by jiji network drain");
    const ill = { ...row, state: "unhealthy" };
    const illSides = {
      store: found([ill]),
      dns: found({
        source: "store" as const,
        rows: [{ ...traced, state: "unhealthy", isAnswered: false, why: "it is unhealthy" }],
      }),
    };
    knows("web1", { engine: found([{ ...apiContainer, hasCheck: true }]), ...illSides });
    knows("home", illSides);
    expect((await inspect("api-1")).code).toBe(0);
    const exited = { ...apiContainer, state: "exited", published: { ...apiContainer.published!, state: "stopped" } };
    knows("web1", { engine: found([exited]), store: found([row]) });
    expect((await inspect("api-1")).code).toBe(5);
  });

  test("two servers behind NAT have no path to each other, which is no difference", async () => {
    const hidden = { ...traced, isAnswered: false, why: "its server cannot be reached from here" };
    const isNat = (name: string, nat: boolean) => ({ server: { id: `id-${name}`, name, isNat: nat } });
    await startMesh({ web1: {}, home: {} });
    knows("web1", { engine: found([apiContainer]), ...isNat("web1", true) });
    knows("home", { dns: found({ source: "store", rows: [hidden] }), ...isNat("home", true) });
    const result = await inspect("api-1");
    expect([result.code, result.stdout]).toEqual([0, expect.stringContaining("both servers are behind NAT")]);
    knows("home", { dns: found({ source: "store", rows: [hidden] }), ...isNat("home", false) });
    expect((await inspect("api-1")).code).toBe(5);
  });

  test("a row without a container, a container without a row, one beside the network", async () => {
    await startMesh({ web1: { engine: found([]) }, home: {} });
    const stale = await inspect("api-1");
    expect(stale.code).toBe(5);
    expect(stale.stdout).toMatch(/state +no such container +healthy +healthy +≠/);
    expect(stale.stdout).toContain("its engine has no such container: the row is stale");
    const none = { store: found([]), dns: found({ source: "store" as const, rows: [] }) };
    knows("web1", { engine: found([apiContainer]), ...none });
    knows("home", none);
    const unwritten = await inspect("api-1");
    expect(unwritten.code).toBe(5);
    expect(unwritten.stdout).toMatch(/state +running, healthy +no row +≠/);
    const problems = ["it is not on the network jiji"];
    knows("web1", {
      engine: found([{ ...apiContainer, isOnNetwork: false, published: null, address: null, problems }]),
      ...none,
    });
    const beside = await inspect("api-1");
    expect(beside.code).toBe(0);
    expect(beside.stdout).toContain("it is not on the network jiji");
  });

  test("its server is away: the others still say what they know, exit 4", async () => {
    await startMesh({ web1: {}, home: {} });
    world.servers["web1"]!.refusal = new ConnectError("unreachable", "gone", "look");
    const result = await inspect("api-1");
    expect(result.code).toBe(4);
    expect(result.stdout).toContain("STORE on home");
    expect(result.stdout).toContain("web1 (its server)  not asked: gone");
    expect(result.stdout).toContain("its server web1 was not asked");
  });

  test("what cannot be seen on its server is said, and is not taken for absent", async () => {
    await startMesh({
      web1: { engine: unknown("no socket"), store: unknown("refused"), dns: unknown("no socket") },
      home: {},
    });
    const result = await inspect("api-1");
    expect(result.code).toBe(5);
    expect(result.stdout).toContain("its engine does not answer: no socket");
    expect(result.stdout).toMatch(/web1 \(its server\) +unknown: refused ≠ +unknown: no socket ≠/);
    expect(result.stdout).not.toContain("no such container");
  });

  test("an ambiguous text lists what fits: exit 1, also as JSON", async () => {
    const other = { ...apiContainer, id: `abc1ff${"0".repeat(58)}`, name: "api-2", rank: 4 };
    await startMesh({ web1: { engine: found([{ ...apiContainer, rank: 4 }, other]), store: found([]) } });
    const result = await inspect("abc1");
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toMatchSnapshot();
    expect(JSON.parse((await inspect("abc1", "--json")).stdout)).toMatchObject({
      container: null,
      candidates: [{ name: "api-1" }, { name: "api-2" }],
      exitCode: 1,
    });
  });

  test("nothing fits: exit 1, with who was asked and who was not", async () => {
    await startMesh({ web1: { store: found([]) }, home: { store: found([]), engine: unknown("no socket") }, db1: {} });
    world.servers["db1"]!.refusal = new ConnectError("unreachable", "gone", "look");
    const result = await inspect("nosuch\u001b[2J\u202e");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      "no container is called nosuch\\u001b[2J\\u202e on web1, home\n  db1 was not asked: gone",
    );
    expect(result.stderr).toContain("home: its engine does not answer: no socket");
    expect((await world.run("network", "inspect")).code).toBe(2);
  });

  test("hostile rows: escaped, and no other server can make a container ambiguous", async () => {
    const claim = { ...row, serverId: "id-evil\u001b[31m", server: "evil\u202e", name: "\u001b[2Jx\n y" };
    await startMesh({ web1: { engine: found([apiContainer]), store: found([row, claim]) } });
    const result = await inspect(ID);
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("evil\\u202e has a row with this container's id, which is not its own");
    const stranger = { ...row, serverId: "stranger", server: null, containerId: "e".repeat(64), rank: 0 };
    knows("web1", { engine: found([apiContainer]), store: found([row, stranger]) });
    expect((await inspect("api-1")).stdout).toContain("abc123000000 on web1");
    knows("web1", { store: found([stranger]), dns: found({ source: "store", rows: [] }) });
    const unowned = await inspect("api-1");
    expect(unowned.stdout).toContain("on stranger, which is no member");
    expect(unowned.stdout).toContain("the owner of the row is no member, so nobody answers it");
    knows("web1", { store: found([{ ...claim, rank: 0 }]) });
    const alone = await inspect("api-1");
    expect(alone.stdout + alone.stderr).not.toContain("\u001b");
    expect(alone.stdout).toContain("\\u001b[2Jx\\n y");
  });
});
