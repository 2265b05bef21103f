import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildExecutable } from "../../scripts/build.ts";
import { findCorrosion } from "../../lab/corrosion-choice.ts";
import { startDetached } from "../../lab/detached.ts";
import { expectSuccess, runJiji, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type Lab } from "../../lab/lab.ts";
import { namespaceName } from "../../lab/namespaces.ts";
import { waitFor } from "../../lab/wait.ts";
import { PacketWorld, trustingPortsOf, type Engine } from "./packet-world.ts";

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

beforeAll(async () => {
  await buildExecutable({});
  const corrosion = await findCorrosion(() => undefined);
  if (corrosion.kind !== "binary") throw new Error("no Corrosion: `npm run corrosion` builds it");
  setup = ["network", "setup", "--yes", "--corrosion-binary", corrosion.path];
  lab = await startLab({
    servers: [...MEMBERS, { name: OUTSIDER, release: "trixie", engine: "none" }],
  });
  world = new PacketWorld(lab);
  const entries = Object.fromEntries(MEMBERS.map(({ name, configured }) => [name, { engine: configured }]));
  writeDeployFile(lab, { project: "shop", servers: NAMES, entries });
  expectSuccess(await runJiji(lab, setup), "setup");
  await Promise.all([...NAMES, OUTSIDER].map((name) => world.bringTools(name)));
  for (const { name, configured } of MEMBERS) {
    await world.must(name, configured, "network", "create", "web");
    await world.container(name, configured, "inner", ["jiji"]);
    await world.container(name, configured, "twofold", ["web", "jiji"]);
    await world.container(name, "docker", "outer-docker", ["bridge"]);
    if (name !== "gamma") await world.container(name, "podman", "outer-podman", ["podman"]);
  }
  await listenEverywhere();
}, 900_000);

afterAll(async () => {
  await lab?.down();
});

/** All services are silenced before anything counts, since they talk to each other. */
async function listenEverywhere(): Promise<void> {
  for (const name of NAMES) await world.listenInPlace(name);
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
  for (const from of NAMES) {
    for (const to of NAMES) {
      await waitFor(async () => (await fetch(from, to)) === "inner", {
        timeoutMs: 20_000,
        what: `${from} to fetch from ${to}`,
        intervalMs: 500,
      });
    }
  }
}

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

  test("Corrosion's user may gossip", async () => {
    await world.say("alpha", "jiji-corrosion", "gossip", [`udp:${await world.addressOf("beta")}:31280`]);
    expect(await world.heardBesides("beta", "alpha")).toEqual([`udp 31280 ${await world.addressOf("alpha")} gossip`]);
  }, 30_000);

  test("no outgoing connection is given these ports by chance", async () => {
    for (const name of NAMES) {
      expect(await world.must(name, "cat", "/proc/sys/net/ipv4/ip_local_reserved_ports")).toContain("31280-31282");
    }
  });
});

describe("from the tunnel, only the port table", () => {
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

/** Hears every packet about the cluster that a server sends in the clear. */
async function sniff(server: string): Promise<{ readonly lines: () => Promise<string[]>; readonly stop: () => void }> {
  const log = join(lab.directory, `sniff-${server}.log`);
  rmSync(log, { force: true });
  const hardware = await world.must(server, "cat", "/sys/class/net/eth0/address");
  const argv = ["ip", "netns", "exec", namespaceName(lab.id, "switch")];
  const tool = join(import.meta.dir, "packet-tools", "sniff.py");
  const child = await startDetached([...argv, "python3", tool, log, "br0", "10.210."], { log: `${log}.err` });
  const read = (): string[] => readFileSync(log, "utf8").split("\n");
  await waitFor(() => read().includes("ready"), { timeoutMs: 10_000, what: "the sniffer" });
  let controls = 0;
  return {
    // an outsider's packet that is seen shows that everything before it would have been
    lines: async () => {
      const address = lab.servers.find((each) => each.name === server)?.address ?? "";
      await world.must(OUTSIDER, "ip", "route", "replace", "10.210.0.0/16", "via", address);
      controls += 1;
      const control = `10.210.250.${controls}`;
      await waitFor(
        async () => {
          await world.say(OUTSIDER, "root", "seen", [`udp:${control}:9`]);
          return read().some((line) => line.endsWith(` ${control}`));
        },
        { timeoutMs: 10_000, what: "the sniffer to see anything", intervalMs: 200 },
      );
      return read().filter((line) => line.startsWith(hardware));
    },
    stop: () => process.kill(child.pid),
  };
}

describe("nothing for the cluster leaves outside of the tunnel", () => {
  test.each(NAMES)(
    "of %s while its tunnel is down",
    async (server) => {
      const [peer = "alpha"] = others(server);
      const attacker = attackersOn(server)[0];
      if (attacker === undefined) throw new Error("no containers");
      const targets = [
        `udp:${await world.addressOf(peer)}:53`,
        `tcp:${await world.addressOf(peer)}:53`,
        "udp:10.210.99.1:53",
      ];
      const sniffer = await sniff(server);
      await world.must(server, "systemctl", "stop", "wg-quick@jiji0");
      await world.say(server, "root", "lost", targets);
      await world.say(server, "nobody", "lost", targets);
      for (const { engine, name } of attackersOn(server)) await world.sayInside(server, engine, name, "lost", targets);
      expect(await sniffer.lines()).toEqual([]);
      await world.must(server, "systemctl", "start", "wg-quick@jiji0");
      await meshWorks();
      expect(await sniffer.lines()).toEqual([]);
      sniffer.stop();
    },
    180_000,
  );

  test.each(MEMBERS)(
    "of $name while it boots, and the mesh works again after",
    async ({ name, configured }) => {
      const [peer = "alpha"] = others(name);
      const target = await world.addressOf(peer);
      const asking = [
        "sh",
        "-c",
        'while :; do for a in "$@"; do ping -c 1 -W 1 "$a"; done; done',
        "ask",
        target,
        "10.210.99.1",
      ];
      await world.must(
        name,
        ...[configured, "run", "-d", "--name", "asking", "--restart", "always", "--cap-add", "NET_RAW"],
        ...["--network", "jiji", "jiji-lab:latest", ...asking],
      );
      const sniffer = await sniff(name);
      await lab.reboot(name);
      for (const container of ["inner", "twofold"]) await world.must(name, configured, "start", container);
      await meshWorks();
      expect(await sniffer.lines()).toEqual([]);
      sniffer.stop();
      await world.must(name, configured, "rm", "-f", "asking");
      for (const { engine, name: outer } of attackersOn(name)) await world.must(name, engine, "start", outer);
      await world.listenInPlace(name);
    },
    240_000,
  );
});

describe("when somebody flushes everybody's rules", () => {
  // Each server's own services spoke to the others while it booted, before they were silenced again.
  beforeAll(async () => {
    for (const name of NAMES) await world.forget(name);
  });

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
