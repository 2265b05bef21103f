import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { buildExecutable } from "../../tools/build.ts";
import { mustFindCorrosion } from "../../lab/corrosion-choice.ts";
import { expectSuccess, runJiji, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/wait.ts";
import { PacketWorld, trustingPortsOf, type Engine } from "./packet-world.ts";
import { listeners, scanFrom, type PublicPorts } from "./public-ports.ts";
import { sniff } from "./sniffer.ts";

/**
 * The port table and the packet lines of the security model, held against real packets: every generation of Debian, both
 * engines, two of the servers with both at once. An outsider stands on the same LAN and is no member.
 */
const MEMBERS = [
  { name: "alpha", release: "trixie", engine: "both", configured: "docker" },
  { name: "beta", release: "bookworm", engine: "both", configured: "podman" },
  { name: "gamma", release: "forky", engine: "docker", configured: "docker" },
] as const;

type MemberName = (typeof MEMBERS)[number]["name"];
const NAMES = MEMBERS.map(({ name }) => name);
const OUTSIDER = "outsider";

/** A container on a server and how to enter it. */
interface Attacker {
  readonly engine: Engine;
  readonly name: string;
}

let lab: Lab;
let world: PacketWorld;
let setup: readonly string[];
/** as a stranger finds them while all of jiji runs */
const publicPorts = new Map<string, PublicPorts>();

beforeAll(async () => {
  await buildExecutable({});
  const corrosion = await mustFindCorrosion();
  setup = ["network", "setup", "--yes", "--corrosion-binary", corrosion];
  lab = await startLab({
    servers: [...MEMBERS, { name: OUTSIDER, release: "trixie", engine: "none" }],
  });
  world = new PacketWorld(lab);
  const entries = Object.fromEntries(MEMBERS.map(({ name, configured }) => [name, { engine: configured }]));
  writeDeployFile(lab, { project: "shop", servers: NAMES, entries });
  const before = new Map<string, ReadonlySet<string>>();
  for (const name of NAMES) before.set(name, await listeners(world, name));
  expectSuccess(await runJiji(lab, setup), "setup");
  await Promise.all([...NAMES, OUTSIDER].map((name) => world.bringTools(name)));
  await Promise.all(
    NAMES.map(async (name) => {
      publicPorts.set(name, await scanFrom(world, OUTSIDER, name, before.get(name) ?? new Set()));
    }),
  );
  await Promise.all(MEMBERS.map(makeContainers));
  await listenEverywhere();
}, 900_000);

afterAll(async () => {
  await lab?.down();
});

async function makeContainers({ name, configured }: (typeof MEMBERS)[number]): Promise<void> {
  await world.must(name, configured, "network", "create", "web");
  await world.container(name, configured, "inner", ["jiji"]);
  await world.container(name, configured, "twofold", ["web", "jiji"]);
  await world.container(name, "docker", "outer-docker", ["bridge"]);
  if (name !== "gamma") await world.container(name, "podman", "outer-podman", ["podman"]);
}

/** All services are silenced before anything counts, since they talk to each other. */
async function listenEverywhere(): Promise<void> {
  await Promise.all(NAMES.map((name) => world.listenInPlace(name)));
  for (const name of NAMES) await world.forget(name);
}

function attackersOn(server: MemberName): readonly Attacker[] {
  const member = MEMBERS.find(({ name }) => name === server);
  const configured = member?.configured ?? "docker";
  return [
    { engine: configured, name: "inner" },
    { engine: configured, name: "twofold" },
    { engine: "docker", name: "outer-docker" },
    ...(member?.engine === "both" ? [{ engine: "podman" as const, name: "outer-podman" }] : []),
  ];
}

/** Everything that containers of a server can think of against the trusting ports of another. */
async function attack(from: MemberName, target: MemberName): Promise<readonly string[]> {
  const [own, address] = [await world.addressOf(from), await world.addressOf(target)];
  const forged = [own, address, "10.210.0.77"].flatMap((source) => [
    `spoof:${source}:${address}:31280`,
    `spoof:${source}:${address}:31281`,
  ]);
  const results = await Promise.all(
    attackersOn(from).map(({ engine, name }) =>
      world.sayInside(from, engine, name, `attack-${name}`, [...trustingPortsOf(address), ...forged]),
    ),
  );
  return results.flat().filter((line) => line.endsWith(" connected"));
}

function others(server: MemberName): readonly MemberName[] {
  return NAMES.filter((name) => name !== server);
}

/** Fetches one container's page from another, and tells what came. */
async function fetch(from: MemberName, to: MemberName): Promise<string> {
  const engineOf = (name: MemberName): Engine => MEMBERS.find((member) => member.name === name)?.configured ?? "docker";
  const address = await world.containerAddress(to, engineOf(to), "inner", "jiji");
  return world.must(from, engineOf(from), "exec", "inner", "wget", "-q", "-O", "-", `http://${address}/`);
}

async function meshWorks(): Promise<void> {
  const fetchAll = async (from: MemberName): Promise<void> => {
    for (const to of NAMES) {
      await waitFor(async () => (await fetch(from, to)) === "inner", {
        timeoutMs: 60_000,
        what: `${from} to fetch from ${to}`,
        intervalMs: 500,
      });
    }
  };
  await Promise.all(NAMES.map(fetchAll));
}

// security-tests: only-wireguard-open
test.each(NAMES)("a stranger finds nothing of %s open but WireGuard, besides SSH", (name) => {
  expect(publicPorts.get(name)).toEqual({ open: ["tcp 22"], added: ["udp 31820"] });
});

test("containers reach each other across engines and generations", () => meshWorks(), 120_000);

test("a peer sees the container's own address", async () => {
  for (const [from, to] of [
    ["alpha", "beta"],
    ["beta", "gamma"],
    ["gamma", "alpha"],
  ] as const) {
    const [sender, hearer] = [attackersOn(from)[0], attackersOn(to)[0]];
    if (sender === undefined || hearer === undefined) throw new Error("no containers");
    const address = await world.containerAddress(to, hearer.engine, "inner", "jiji");
    const pid = await world.must(to, hearer.engine, "inspect", "--format", "{{.State.Pid}}", "inner");
    const log = `/tmp/seen-by-${to}`;
    await world.must(
      to,
      ...["systemd-run", "--collect", "nsenter", "--target", pid, "--net"],
      ...["python3", "/usr/local/lib/listen.py", log, address, "9000"],
    );
    const own = await world.containerAddress(from, sender.engine, "inner", "jiji");
    await waitFor(
      async () => {
        await world.sayInside(from, sender.engine, "inner", "hello", [`udp:${address}:9000`]);
        return (await world.run(to, "grep", "-F", `udp 9000 ${own} hello`, log)).code === 0;
      },
      { timeoutMs: 10_000, what: `${to} to see ${own}`, intervalMs: 200 },
    );
    expect(await world.must(to, "grep", "-c", "-v", "-F", own, log)).toBe("1");
  }
}, 60_000);

test("a packet of the tunnel's full size passes, one byte more does not", async () => {
  const ping = async (size: number): Promise<number> => {
    const target = await world.containerAddress("beta", "podman", "inner", "jiji");
    const pid = await world.must("alpha", "docker", "inspect", "--format", "{{.State.Pid}}", "inner");
    const argv = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", String(size), target];
    return (await world.run("alpha", "nsenter", "--target", pid, "--net", ...argv)).code;
  };
  expect(await ping(1392)).toBe(0);
  expect(await ping(1393)).not.toBe(0);
}, 30_000);

// security-tests: container-is-no-server
describe("a container cannot pass as a server", () => {
  test.each(NAMES.flatMap((from) => NAMES.map((to) => [from, to] as const)))(
    "from %s to %s",
    async (from, to) => {
      expect(await attack(from, to)).toEqual([]);
      expect(await world.heardBesides(to, from)).toEqual([]);
    },
    60_000,
  );
});

describe("a container cannot pose as the gateway to its neighbour", () => {
  /** Forges everything from "inner" towards "twofold"; gives who the victim then takes for the gateway, and what it heard. */
  async function forge(
    name: MemberName,
    engine: Engine,
  ): Promise<{ readonly gateway: string; readonly heard: number }> {
    const victim = await world.containerAddress(name, engine, "twofold", "jiji");
    const [inner, twofold] = [await world.enter(name, engine, "inner"), await world.enter(name, engine, "twofold")];
    const address = await world.addressOf(name);
    const device = /dev (\S+)/.exec(await world.must(name, ...twofold, "ip", "route", "get", address))?.[1] ?? "";
    await world.must(name, ...twofold, "ping", "-c", "1", "-W", "2", address);
    await world.must(name, ...inner, "ping", "-c", "1", "-W", "2", victim);
    const log = `/tmp/forged-${crypto.randomUUID().slice(0, 8)}`;
    const unit = ["systemd-run", "--collect", "--unit", log.slice(5)];
    await world.must(name, ...unit, ...twofold, "python3", "/usr/local/lib/listen.py", log, victim, "5353");
    await waitFor(async () => (await world.run(name, "grep", "-q", "ready", log)).code === 0, {
      timeoutMs: 10_000,
      what: `${name}'s victim to listen`,
    });
    await world.must(name, ...inner, "python3", "/usr/local/lib/forge.py", "eth0", address, victim);
    await world.must(name, ...inner, "python3", "/usr/local/lib/say.py", "after", `udp:${victim}:5353`);
    await waitFor(async () => (await world.run(name, "grep", "-q", "after", log)).code === 0, {
      timeoutMs: 10_000,
      what: `${name}'s victim to hear its neighbour`,
    });
    await world.run(name, "systemctl", "stop", log.slice(5));
    const shown = await world.must(name, ...twofold, "ip", "neigh", "show", address, "dev", device);
    const heard = await world.must(name, "sh", "-c", `grep -c forged ${log} || true`);
    return { gateway: /lladdr (\S+)/.exec(shown)?.[1] ?? "", heard: Number(heard) };
  }

  // security-tests: no-forged-gateway
  test.each(MEMBERS)(
    "on $name: forged ARP and forged answers change nothing, and do without the filter",
    async ({ name, configured }) => {
      const bridge = await world.hardwareAddress(name, "jiji-br0");
      expect(await forge(name, configured)).toEqual({ gateway: bridge, heard: 0 });
      await world.must(name, "nft", "delete", "table", "bridge", "jiji");
      await world.must(name, "nft", "delete", "table", "inet", "jiji");
      const fallen = await forge(name, configured);
      expect(fallen).toEqual({ gateway: expect.not.stringMatching(bridge), heard: 1 });
      await world.must(name, "systemctl", "restart", "jiji-firewall");
      await world.must(name, ...(await world.enter(name, configured, "twofold")), "ip", "neigh", "flush", "all");
      expect(await forge(name, configured)).toEqual({ gateway: bridge, heard: 0 });
    },
    60_000,
  );
});

// security-tests: local-user
describe("a local user is not the server", () => {
  test.each(NAMES.flatMap((from) => NAMES.map((to) => [from, to] as const)))(
    "from %s to %s",
    async (from, to) => {
      const targets = trustingPortsOf(await world.addressOf(to));
      for (const user of ["nobody", "jiji-dns"]) await world.say(from, user, `user-${user}`, targets);
      await world.say(
        from,
        "root",
        "user-root",
        targets.filter((target) => target.endsWith(":31280")),
      );
      await world.say(
        from,
        "jiji-corrosion",
        "user-corrosion",
        targets.filter((target) => !target.endsWith(":31280")),
      );
      expect(await world.heardBesides(to, from)).toEqual([]);
    },
    60_000,
  );

  // security-tests: local-user
  test("Corrosion's user may gossip", async () => {
    await world.say("alpha", "jiji-corrosion", "gossip", [`udp:${await world.addressOf("beta")}:31280`]);
    expect(await world.heardBesides("beta", "alpha")).toEqual([`udp 31280 ${await world.addressOf("alpha")} gossip`]);
  }, 30_000);

  // security-tests: local-user
  test("no outgoing connection is given these ports by chance", async () => {
    for (const name of NAMES) {
      expect(await world.must(name, "cat", "/proc/sys/net/ipv4/ip_local_reserved_ports")).toContain("31280-31282");
    }
  });
});

describe("from the tunnel, only the port table", () => {
  // security-tests: tunnel-port-table
  test("SSH of a peer is silent, its DNS port is not, for servers and containers", async () => {
    for (const to of others("alpha")) {
      const address = await world.addressOf(to);
      const targets = [`tcp:${address}:22`, `tcp:${address}:53`];
      const wanted = [`tcp:${address}:22 silent`, `tcp:${address}:53 connected`];
      expect(await world.say("alpha", "root", "x", targets)).toEqual(wanted);
      expect(await world.sayInside("alpha", "docker", "inner", "x", targets)).toEqual(wanted);
      await world.must("alpha", "ping", "-c", "1", "-W", "2", address);
    }
  }, 30_000);

  // dns-contract: who-may-ask
  // security-tests: tunnel-port-table
  test("own engine networks may ask DNS, and nothing else of the address", async () => {
    const address = await world.addressOf("alpha");
    for (const attacker of attackersOn("alpha").filter(({ name }) => name.startsWith("outer"))) {
      const lines = await world.sayInside("alpha", attacker.engine, attacker.name, "x", [
        `tcp:${address}:53`,
        `tcp:${address}:22`,
      ]);
      expect(lines).toEqual([`tcp:${address}:53 connected`, `tcp:${address}:22 silent`]);
    }
  }, 30_000);
});

describe("a neighbour on the LAN", () => {
  const publicOf = (name: string): string => lab.servers.find((server) => server.name === name)?.address ?? "";

  // security-tests: nothing-from-outside, published-ports-only
  test.each(NAMES)(
    "reaches neither %s by its private address nor its containers, and passes as nobody",
    async (target) => {
      const address = await world.addressOf(target);
      const [peer = "alpha"] = others(target);
      const attacker = attackersOn(target)[0];
      if (attacker === undefined) throw new Error("no containers");
      const container = await world.containerAddress(target, attacker.engine, "inner", "jiji");
      await world.must(OUTSIDER, "ip", "route", "replace", "10.210.0.0/16", "via", publicOf(target));
      const impostor = await world.addressOf(peer);
      const forged = [impostor, address, "10.210.0.77", publicOf(OUTSIDER)].flatMap((source) =>
        ([31280, 31281, 31282] as const).map((port) => `spoof:${source}:${address}:${port}`),
      );
      await world.say(OUTSIDER, "root", "outside", [...trustingPortsOf(address), ...forged]);
      expect(await world.heardBesides(target, peer)).toEqual([]);
      const tried = [`tcp:${address}:53`, `tcp:${address}:22`, `tcp:${container}:80`];
      expect(await world.say(OUTSIDER, "root", "x", tried)).toEqual(tried.map((each) => `${each} silent`));
    },
    60_000,
  );

  // security-tests: published-ports-only
  test.each(MEMBERS)(
    "reaches a published port of $name",
    async ({ name, configured }) => {
      await world.container(name, configured, "published", ["jiji"], ["--publish", "8080:80"]);
      const url = `http://${publicOf(name)}:8080/`;
      await waitFor(async () => (await world.must(OUTSIDER, "curl", "-s", "-m", "2", url)) === "published", {
        timeoutMs: 10_000,
        what: `${url} to answer`,
      });
    },
    30_000,
  );
});

describe("nothing for the cluster leaves outside of the tunnel", () => {
  // security-tests: nothing-outside-tunnel
  test("while the tunnels are down", async () => {
    const sniffers = await Promise.all(NAMES.map((name) => sniff(world, name)));
    await Promise.all(NAMES.map((name) => world.must(name, "systemctl", "stop", "wg-quick@jiji0")));
    await Promise.all(NAMES.map(sayToTheCluster));
    for (const sniffer of sniffers) expect(await sniffer.lines()).toEqual([]);
    await Promise.all(NAMES.map((name) => world.must(name, "systemctl", "start", "wg-quick@jiji0")));
    await meshWorks();
    for (const sniffer of sniffers) {
      expect(await sniffer.lines()).toEqual([]);
      sniffer.stop();
    }
  }, 180_000);

  async function sayToTheCluster(server: MemberName): Promise<void> {
    const peer = await world.addressOf(others(server)[0] ?? "alpha");
    const targets = [`udp:${peer}:53`, `tcp:${peer}:53`, "udp:10.210.99.1:53"];
    await world.say(server, "root", "lost", targets);
    await world.say(server, "nobody", "lost", targets);
    for (const { engine, name } of attackersOn(server)) await world.sayInside(server, engine, name, "lost", targets);
  }

  // security-tests: nothing-outside-tunnel
  test("while the servers boot, and the mesh works again after", async () => {
    for (const { name, configured } of MEMBERS) {
      const peer = await world.addressOf(others(name)[0] ?? "alpha");
      const asking = 'while :; do for a in "$@"; do ping -c 1 -W 1 "$a"; done; done';
      await world.must(
        name,
        ...[configured, "run", "-d", "--name", "asking", "--restart", "always", "--cap-add", "NET_RAW"],
        ...["--network", "jiji", "jiji-lab:latest", "sh", "-c", asking, "ask", peer, "10.210.99.1"],
      );
    }
    const sniffers = await Promise.all(NAMES.map((name) => sniff(world, name)));
    await Promise.all(NAMES.map((name) => lab.reboot(name)));
    for (const { name, configured } of MEMBERS) await world.must(name, configured, "start", "inner", "twofold");
    await meshWorks();
    for (const sniffer of sniffers) {
      expect(await sniffer.lines()).toEqual([]);
      sniffer.stop();
    }
    for (const { name, configured } of MEMBERS) {
      await world.must(name, configured, "rm", "-f", "asking");
      for (const { engine, name: outer } of attackersOn(name)) await world.must(name, engine, "start", outer);
    }
    await listenEverywhere();
  }, 240_000);
});

describe("when somebody flushes everybody's rules", () => {
  // security-tests: container-is-no-server
  test.each(MEMBERS)(
    "$name: no container passes as it, before and after the engine's rules are back",
    async (member) => {
      const { name, configured } = member;
      await world.must(name, "nft", "flush", "ruleset");
      for (const to of others(name)) {
        expect(await attack(name, to)).toEqual([]);
        expect(await world.heardBesides(to, name)).toEqual([]);
      }
      await world.must(name, "systemctl", "restart", "docker");
      if (configured === "podman") await world.must(name, "podman", "network", "reload", "--all");
      for (const { engine, name: container } of attackersOn(name)) await world.must(name, engine, "start", container);
      for (const to of others(name)) {
        expect(await attack(name, to)).toEqual([]);
        expect(await world.heardBesides(to, name)).toEqual([]);
      }
    },
    240_000,
  );

  // security-tests: old-connections-end
  test("setup puts the rules back, and what was opened meanwhile leads nowhere", async () => {
    for (const name of NAMES) await world.stopListening(name);
    expectSuccess(await runJiji(lab, setup), "setup");
    await listenEverywhere();
    for (const from of NAMES) {
      for (const to of NAMES) {
        expect(await attack(from, to)).toEqual([]);
        expect(await world.heardBesides(to, from)).toEqual([]);
      }
    }
    await meshWorks();
  }, 400_000);
});
