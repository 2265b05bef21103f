import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFigures } from "../../src/store/query/read-figures.ts";
import { StoreFile } from "../../src/store/query/store-file.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { makeStoreFile, type MadeStoreFile } from "../store-file-maker.ts";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;
const stores = new Map<string, MadeStoreFile>();
/** called before a server is asked */
let beforeAsked: (name: string) => void;

beforeEach(async () => {
  world = commandWorld("web1", "home");
  world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
  expect((await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion)).code).toBe(0);
  beforeAsked = () => undefined;
  for (const [name, server] of Object.entries(world.servers)) {
    stores.set(name, makeStoreFile());
    server.queryLines = () => [figuresOf(name)];
  }
});

afterEach(() => {
  for (const store of stores.values()) store.remove();
  stores.clear();
  world.close();
});

function figuresOf(name: string): string {
  beforeAsked(name);
  const file = new StoreFile(stores.get(name)!.path);
  const figures = readFigures(file.database);
  file.close();
  return JSON.stringify({
    type: "figures",
    kind: "corrosion",
    sizeBytes: 120_000,
    walBytes: 4_000_000,
    self: name === "web1" ? "s1" : "s2",
    members: [
      { id: "s1", name: "web1" },
      { id: "s2", name: "home" },
    ],
    figures,
    health: { gaps: 0, members: 1, lagSeconds: 0.25 },
  });
}

test("servers that agree: exit 0", async () => {
  const result = await world.run("network", "db", "stats");
  expect(result.stderr).toBe("");
  expect(result.code).toBe(0);
  expect(result.stdout).toMatchInlineSnapshot(`
    "SERVER  STORE      SIZE    WAL     FREE  CLOCK  VERSION  BEHIND  MISSING  LAG     MEMBERS
    web1    corrosion  120 kB  4.0 MB  0 B   -      -        -       -        0.25 s  -
    home    corrosion  120 kB  4.0 MB  0 B   -      -        -       -        0.25 s  -

    ROWS OF  ID  CONTAINERS  SERVER ROW  SAME ON
    web1     s1  3           1           2 of 2
    "
  `);
  const verbose = await world.run("network", "db", "stats", "-v");
  expect(verbose.stdout).toMatch(/web1 +removed_servers +0/);
});

test("a difference that lasts is pointed out: exit 5", async () => {
  stores.get("home")!.writer.run("DELETE FROM containers WHERE n = 2");
  const result = await world.run("network", "db", "stats");
  expect(result.code).toBe(5);
  expect(result.stderr).toContain("the stores differ now; looking again");
  expect(result.stdout).toContain("≠ home has 2 container rows of web1, web1 has 3\n");
  const json = JSON.parse((await world.run("network", "db", "stats", "--json")).stdout) as { differences: unknown };
  expect(json).toMatchObject({
    ok: false,
    exitCode: 5,
    differences: [{ kind: "containers", owner: "s1", server: "home", rows: 2, expected: { server: "web1", rows: 3 } }],
  });
}, 20_000);

test("one that is gone at the second look was a change on its way: exit 0", async () => {
  const home = stores.get("home")!.writer;
  home.run("UPDATE containers SET record = '' WHERE n = 2");
  let asked = 0;
  beforeAsked = (name) => {
    if (name !== "home" || ++asked !== 2) return;
    home.run(`UPDATE containers SET record = '{"project":"shop","service":"api2","rev":2}' WHERE n = 2`);
  };
  const result = await world.run("network", "db", "stats");
  expect(result.code).toBe(0);
  expect(result.stdout).not.toContain("≠");
}, 20_000);

test("a server that is away, or whose store is: named, exit 4; nobody: exit 1", async () => {
  world.servers["home"]!.refusal = new ConnectError("unreachable", "gone", "look");
  const result = await world.run("network", "db", "stats");
  expect(result.code).toBe(4);
  expect(result.stderr).toContain("warning: home: gone");
  const away = { type: "away", why: "jiji-corrosion.service does not run", hint: "systemctl start it" };
  world.servers["web1"]!.queryLines = () => [JSON.stringify(away)];
  const none = await world.run("network", "db", "stats");
  expect(none.code).toBe(1);
  expect(none.stderr).toContain("web1: jiji-corrosion.service does not run");
});

test("an embedded store: one server has it, and that is well", async () => {
  world.servers["home"]!.queryLines = () => [JSON.stringify({ type: "elsewhere", holder: 1, name: "web1" })];
  const result = await world.run("network", "db", "stats");
  expect(result.code).toBe(0);
  expect(result.stdout).toContain("no store of their own: home");
});

test("what other servers wrote does not reach the terminal as it is", async () => {
  stores.get("web1")!.writer.run("INSERT INTO containers (server_id, n) VALUES ('x' || char(27) || '[31m', 0)");
  for (const flag of [[], ["--json"]]) {
    const { stdout } = await world.run("network", "db", "stats", ...flag);
    expect(stdout).not.toContain("\u001b");
  }
}, 20_000);
