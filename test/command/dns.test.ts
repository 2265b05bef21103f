import { afterEach, describe, expect, test } from "bun:test";
import type { DnsListing, ListedName } from "../../src/model/node/dns.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;

afterEach(() => world.close());

async function startMesh(...names: string[]): Promise<void> {
  world = commandWorld(...names);
  world.write(".jiji/deploy.yml", deployFile(names));
  const result = await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion);
  expect(result.code).toBe(0);
}

type Listing = Omit<DnsListing, "digest">;

const api: ListedName = {
  name: "shop-api.jiji",
  kind: "service",
  means: "service api of project shop",
  records: [
    { address: "10.210.0.2", server: "home", containerId: "a".repeat(64), state: "healthy", answered: true },
    {
      address: "10.210.1.2",
      server: "web1",
      containerId: "b".repeat(64),
      state: "starting",
      answered: false,
      why: "it is starting",
    },
  ],
  shadowed: [{ means: "instance api of service b", why: "a service goes before an instance" }],
};

const listing: Listing = {
  server: "web1",
  ttlSeconds: 60,
  source: "store",
  names: [api, { name: "shop-web.jiji", kind: "service", means: "service web", records: [], shadowed: [] }],
};

/** The same as a server sees it that cannot reach home. */
const cutOff: Listing = {
  ...listing,
  server: "db1",
  names: listing.names.map((name) => ({
    ...name,
    records: name.records.map((record) =>
      record.answered ? { ...record, answered: false, why: "its server cannot be reached from here" } : record,
    ),
  })),
};

function everybodyKnows(known: Listing): void {
  for (const server of Object.values(world.servers)) server.listing = known;
}

describe("names as servers know them", () => {
  test("names, addresses, servers, states, and what is hidden by an equal name", async () => {
    await startMesh("web1", "home");
    everybodyKnows(listing);
    const result = await world.run("network", "dns");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchSnapshot();
    const json = JSON.parse((await world.run("network", "dns", "--json")).stdout) as Record<string, unknown>;
    expect(json).toMatchObject({ ...listing, asked: ["web1", "home"], differences: [], unasked: [], exitCode: 0 });
  });

  test("any server that answers will do; who was not asked is said", async () => {
    await startMesh("web1", "home");
    world.servers["home"]!.refusal = new ConnectError("unreachable", "gone", "look");
    world.servers["web1"]!.listing = { ...listing, names: [] };
    const result = await world.run("network", "dns");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("no names yet");
    expect(result.stderr).toContain("home was not asked: gone");
  });

  test("none answers: every reason is given", async () => {
    await startMesh("web1", "home");
    world.servers["home"]!.refusal = new ConnectError("unreachable", "gone", "look");
    world.servers["web1"]!.failures.set("dns", { message: "jiji-dns does not run" });
    const result = await world.run("network", "dns");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("no server could be asked\n  web1: jiji-dns does not run\n  home: gone");
  });

  test("servers that disagree are put beside each other: exit 5", async () => {
    await startMesh("web1", "home", "db1");
    everybodyKnows(listing);
    world.servers["db1"]!.listing = cutOff;
    const result = await world.run("network", "dns");
    expect(result.code).toBe(5);
    expect(result.stdout).toMatchSnapshot();
    const json = JSON.parse((await world.run("network", "dns", "--json")).stdout) as { differences: unknown };
    expect(json.differences).toEqual([
      {
        name: "shop-api.jiji",
        isByConfiguration: false,
        views: [
          {
            servers: ["web1", "home"],
            isKnown: true,
            addresses: ["10.210.0.2"],
            leftOut: [{ address: "10.210.1.2", why: "it is starting" }],
          },
          {
            servers: ["db1"],
            isKnown: true,
            addresses: [],
            leftOut: [
              { address: "10.210.0.2", why: "its server cannot be reached from here" },
              { address: "10.210.1.2", why: "it is starting" },
            ],
          },
        ],
      },
    ]);
    expect((await world.run("network", "dns", "-H", "web1,home")).code).toBe(0);
  });

  test("a change on its way is no disagreement", async () => {
    await startMesh("web1", "home");
    everybodyKnows(listing);
    const home = world.servers["home"]!;
    home.listing = cutOff;
    let looks = 0;
    home.answers.set("dns", () => {
      home.listing = ++looks > 1 ? listing : home.listing;
      const { names, ...end } = home.listing!;
      return [...names.map((name) => ({ type: "name", ...name })), { type: "listed", ...end, digest: `${looks}` }];
    });
    expect((await world.run("network", "dns")).code).toBe(0);
  });

  test("a name that nobody has: exit 1, with the one that was meant", async () => {
    await startMesh("web1");
    everybodyKnows(listing);
    const result = await world.run("network", "dns", "shop-apu.jiji");
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toBe("error: no name contains shop-apu\nhint: did you mean shop-api?\n");
    const hostile = await world.run("network", "dns", "\u001b[31mx\u202e");
    expect(hostile.stderr).toContain("no name contains \\u001b[31mx\\u202e");
  });

  test("a half list is no list, and text of servers is shown escaped", async () => {
    await startMesh("web1");
    world.servers["web1"]!.answers.set("dns", () => [{ type: "name", ...api }]);
    expect((await world.run("network", "dns")).code).toBe(1);
    const records = [{ ...api.records[0], server: "\u001b[2Jhome\u202e" }];
    world.servers["web1"]!.answers.set("dns", () => [
      { type: "name", ...api, records },
      { type: "listed", server: "web1", ttlSeconds: 60, source: "store", digest: "x" },
    ]);
    const { stdout, code } = await world.run("network", "dns");
    expect(code).toBe(0);
    expect(stdout).toContain("\\u001b[2Jhome\\u202e");
    expect(stdout).not.toContain("\u001b");
  });

  test("a service whose records come in several lines is one name", async () => {
    await startMesh("web1");
    const records = Array.from({ length: 2500 }, (_, index) => ({
      ...api.records[0]!,
      address: `10.210.${index >> 8}.${index % 256}`,
    }));
    everybodyKnows({ ...listing, names: [{ ...api, records }] });
    const json = JSON.parse((await world.run("network", "dns", "--json")).stdout) as Listing;
    expect(json.names.map((name) => name.records.length)).toEqual([2500]);
  });
});

describe("names as a server answers them", () => {
  test("--from asks for real and shows what is missing from an answer", async () => {
    await startMesh("web1", "home");
    everybodyKnows(listing);
    const result = await world.run("network", "dns", "--from", "web1");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchSnapshot();
  });

  test("an answer that is not what the server publishes is marked", async () => {
    await startMesh("web1");
    everybodyKnows(listing);
    world.servers["web1"]!.answers.set("resolve", ({ names }: { names: string[] }) => [
      ...names.map((name) => ({
        type: "answer",
        name,
        rcode: "NOERROR",
        addresses: ["10.210.9.9"],
        ttlSeconds: 60,
        transport: "tcp",
        latencyMs: 1,
      })),
      { type: "resolved", endpoint: "10.210.0.1:53", isSettled: true },
    ]);
    const { stdout } = await world.run("network", "dns", "shop-api", "--from", "web1");
    expect(stdout).toMatch(/shop-api\.jiji +10\.210\.9\.9 ≠ +60 s +1\.0 ms \(tcp\)/);
    expect(stdout).toMatch(/shop-api\.jiji +not 10\.210\.0\.2 ≠/);
  });

  test("a name that nobody has is asked for all the same", async () => {
    await startMesh("web1", "home");
    everybodyKnows(listing);
    const result = await world.run("network", "dns", "nosuch", "--from", "home");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/nosuch\.jiji +NXDOMAIN/);
  });

  test("servers that answer otherwise: exit 5; without them 0", async () => {
    await startMesh("web1", "home", "db1");
    everybodyKnows(listing);
    world.servers["db1"]!.listing = cutOff;
    const result = await world.run("network", "dns", "--from", "web1");
    expect(result.code).toBe(5);
    expect(result.stdout).toMatch(/shop-api\.jiji +web1, home +10\.210\.0\.2 +-\n/);
    expect(result.stdout).toMatch(/shop-api\.jiji +db1 +no address/);
    expect((await world.run("network", "dns", "--from", "web1", "-H", "home")).code).toBe(0);
  });

  test("a server that does not answer, one that is away, one that is not of the file", async () => {
    await startMesh("web1", "home");
    everybodyKnows(listing);
    const web1 = world.servers["web1"]!;
    web1.answers.set("resolve", ({ names }: { names: string[] }) => [
      ...names.map((name) => ({
        type: "answer",
        name,
        rcode: null,
        addresses: [],
        ttlSeconds: null,
        transport: "udp",
        latencyMs: 0,
      })),
      { type: "resolved", endpoint: "10.210.1.1:53", isSettled: true },
    ]);
    const mute = await world.run("network", "dns", "--from", "web1");
    expect(mute.code).toBe(1);
    expect(mute.stderr).toContain("error: web1: its jiji-dns at 10.210.1.1:53 does not answer\nhint: systemctl status");
    web1.refusal = new ConnectError("unreachable", "gone", "check that it is up");
    const away = await world.run("network", "dns", "shop-api", "--from", "web1");
    expect(away.code).toBe(1);
    expect(away.stderr).toContain("error: web1: gone\nhint: check that it is up");
    const wrong = await world.run("network", "dns", "--from", "hom");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("did you mean home?");
  });
});
