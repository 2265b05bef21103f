import { afterEach, describe, expect, test } from "bun:test";
import type { EngineSide } from "../../src/model/node/inspect.ts";
import { ABSENT, found, unknown, type Reading } from "../../src/model/reading.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { API_ID as ID, apiContainer } from "./api-container.ts";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;
/** what the agents were asked */
let drains: { server: string; container: string; undo: boolean }[];

afterEach(() => world.close());

const api: EngineSide = { ...apiContainer, health: "none" };

/** Servers whose first one has the container; each answers as `addressesOf` says. */
async function startMesh(names: readonly string[], engine: Reading<EngineSide[]> = found([api])): Promise<void> {
  world = commandWorld(...names);
  drains = [];
  world.write(".jiji/deploy.yml", deployFile(names));
  expect((await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion)).code).toBe(0);
  const isHidden = (): boolean => drains.length > 0 && !drains.at(-1)!.undo;
  for (const name of names) {
    const { answers } = world.servers[name]!;
    const owns = name === names[0];
    answers.set("inspect", () => [
      {
        type: "inspected",
        server: { id: `id-${name}`, name, isNat: false },
        engineKind: "docker",
        engine: owns ? engine : found([]),
        store: found([]),
        dns: ABSENT,
        isCut: false,
      },
    ]);
    answers.set("drain", ({ container, undo }: { container: string; undo: boolean }) => {
      drains.push({ server: name, container, undo });
      return [{ type: "drained", containerId: container, name: "api-1", isDraining: !undo }];
    });
    answersWith(name, () => (isHidden() ? ["10.210.0.4"] : ["10.210.0.4", "10.210.1.2"]));
  }
}

type Asked = { names: string[]; until: { address: string; is: "absent" | "present" } | null };

function answersWith(name: string, addresses: () => string[]): void {
  world.servers[name]!.answers.set("resolve", ({ names, until }: Asked) => {
    const isHeld = until !== null && addresses().includes(until.address);
    const answer = { type: "answer", rcode: "NOERROR", ttlSeconds: 60, transport: "udp", latencyMs: 1 };
    return [
      ...names.map((each) => ({ ...answer, name: each, addresses: each.includes("one") ? [] : addresses() })),
      {
        type: "resolved",
        endpoint: "10.210.0.1:53",
        isSettled: until === null || isHeld === (until.is === "present"),
      },
    ];
  });
}

const drain = (...words: string[]) => world.run("network", "drain", ...words);

describe("drain", () => {
  test("its own server hides it, and every server is seen to: exit 0", async () => {
    await startMesh(["web1", "home", "db1"]);
    const result = await drain("api-1");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatchSnapshot();
    expect(drains).toEqual([{ server: "web1", container: ID, undo: false }]);
    const json = JSON.parse((await drain("abc1", "--json")).stdout) as object;
    expect(json).toMatchObject({
      container: { containerId: ID, server: "web1" },
      isDraining: true,
      servers: [{ server: "web1", isSettled: true }, { server: "home" }, { server: "db1" }],
      names: [
        { name: "shop-api.jiji", addresses: ["10.210.0.4"] },
        { name: "shop-api-one.jiji", addresses: [] },
      ],
      exitCode: 0,
    });
  });

  test("--undo shows it again", async () => {
    await startMesh(["web1", "home"]);
    await drain("api-1");
    const result = await drain("api-1", "--undo");
    expect(result.code).toBe(0);
    expect(drains.at(-1)).toEqual({ server: "web1", container: ID, undo: true });
    expect(result.stdout).toContain(
      "api-1 abc123000000 on web1 is no longer draining\nits state decides again on web1, home",
    );
    expect(result.stdout).toContain("shop-api.jiji: 10.210.0.4 10.210.1.2");
  });

  test("a server that goes on answering it, and one that cannot be asked: exit 4", async () => {
    await startMesh(["web1", "home", "db1"]);
    answersWith("home", () => ["10.210.1.2"]);
    world.servers["db1"]!.refusal = new ConnectError("unreachable", "gone", "look");
    const result = await drain("api-1");
    expect(result.code).toBe(4);
    expect(result.stdout).toContain("hidden from the answers of web1 after");
    expect(result.stderr).toContain(
      "error: home still answers it\nhint: jiji network inspect --container abc123000000",
    );
    expect(result.stderr).toContain("warning: db1 was not asked, so it may still answer as before: gone");
  });

  test("one that does not run is in no answer: nothing to do, exit 0", async () => {
    await startMesh(["web1"], found([{ ...api, state: "exited" }]));
    const result = await drain("api-1");
    expect(result).toMatchObject({
      code: 0,
      stdout: "api-1 abc123000000 on web1 is exited: it is not answered anyway\n",
    });
    expect(drains).toEqual([]);
    expect(JSON.parse((await drain("api-1", "--json")).stdout)).toMatchObject({ isDraining: false, state: "exited" });
  });

  test("what has no name, what nobody has, what several are, and an agent that is away: exit 1, nothing done", async () => {
    await startMesh(
      ["web1", "home"],
      found([{ ...api, published: null, problems: ["it is not on the network jiji"] }]),
    );
    const nameless = await drain("api-1");
    expect(nameless.code).toBe(1);
    expect(nameless.stderr).toContain("web1: api-1 has no name that could be hidden: it is not on the network jiji");
    world.close();
    await startMesh(["web1", "home"], found([api, { ...api, id: `abc1ff${"0".repeat(58)}`, name: "api-2" }]));
    const several = await drain("abc1");
    expect(several.code).toBe(1);
    expect(several.stderr).toContain("abc1 fits 2 containers");
    world.close();
    await startMesh(["web1", "home"], found([]));
    const nobody = await drain("\u001b[2Jnosuch");
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toContain("no container is called \\u001b[2Jnosuch on web1, home");
    world.close();
    await startMesh(["web1", "home"]);
    world.servers["web1"]!.answers.delete("drain");
    world.servers["web1"]!.failures.set("drain", { message: "its agent could not be asked: ENOENT" });
    const mute = await drain("api-1");
    expect(mute.code).toBe(1);
    expect(mute.stderr).toContain("error: web1: its agent could not be asked: ENOENT");
    expect(drains).toEqual([]);
    expect((await drain()).code).toBe(2);
  });

  test("only its own server can: one that is away, or whose engine does not answer, is named", async () => {
    await startMesh(["web1", "home"], unknown("no socket"));
    world.servers["home"]!.answers.set("inspect", () => [
      {
        type: "inspected",
        server: { id: "id-home", name: "home", isNat: false },
        engineKind: "docker",
        engine: found([]),
        store: found([
          { ...api.published!, rank: 0, serverId: "id-web1", server: "web1", n: 0, containerId: ID, rev: 1 },
        ]),
        dns: ABSENT,
        isCut: false,
      },
    ]);
    const blind = await drain("api-1");
    expect(blind.code).toBe(1);
    expect(blind.stderr).toContain("error: web1: its engine does not answer: no socket");
    world.servers["web1"]!.refusal = new ConnectError("unreachable", "gone", "look");
    const away = await drain("api-1");
    expect(away.code).toBe(1);
    expect(away.stderr).toContain(
      "error: api-1 is on web1, which was not asked\nhint: only its own server can drain it",
    );
  });
});
