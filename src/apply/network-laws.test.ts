import { expect, test } from "bun:test";
import fc from "fast-check";
import { FakeHost, failed, ok } from "../../test/fake-host.ts";
import { FakeLinux } from "../../test/fake-linux.ts";
import { FakeEngines, FakeNetwork } from "../../test/fake-network.ts";
import { sampleMember, sampleSpec } from "../../test/sample-spec.ts";
import { JijiError } from "../model/errors.ts";
import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import type { JoinGoal, NodeGoal } from "../plan/goal.ts";
import type { AnyResourceKind } from "./kind.ts";
import { engineDnsKind } from "./kinds/engine-dns.ts";
import { engineNetworkKind } from "./kinds/engine-network.ts";
import { firewallKind } from "./kinds/firewall.ts";
import { applyGoal, planGoal } from "./loop.ts";
import { routeKind } from "./kinds/route.ts";
import { sysctlKind } from "./kinds/sysctl.ts";
import { makeWireGuardKey, publicHalf } from "./wireguard-key.ts";
import { wireguardKind } from "./kinds/wireguard.ts";

const KINDS: readonly AnyResourceKind[] = [
  firewallKind,
  sysctlKind,
  engineNetworkKind,
  wireguardKind,
  routeKind,
  engineDnsKind,
];

const KEY = makeWireGuardKey();

const WANTS = "/etc/systemd/system/multi-user.target.wants";

interface Machine {
  readonly host: FakeHost;
  readonly network: FakeNetwork;
  readonly engines: FakeEngines;
  snapshot(): string;
}

/** What may be on a server before jiji. */
interface Before {
  readonly daemonJson: string | null;
  readonly containersConf: string | null;
  readonly filter: string;
  readonly reserved: string;
  readonly running: number;
  readonly hasPodmanSocket: boolean;
  readonly families: readonly string[];
}

function machine(before: Before): Machine {
  const host = new FakeHost();
  const linux = new FakeLinux(host);
  host.put("/etc/docker/key.json", "{}");
  host.put("/etc/containers/policy.json", "{}");
  if (before.daemonJson !== null) host.put(PATHS.dockerDaemon, before.daemonJson, { mode: 0o600 });
  if (before.containersConf !== null) host.put(PATHS.containersConf, before.containersConf);
  const network = new FakeNetwork(host, before.filter);
  network.families = before.families;
  const engines = new FakeEngines(host, before.running);
  host.put("/proc/sys/net/ipv4/ip_local_reserved_ports", `${before.reserved}\n`);
  host.put("/proc/net/if_inet6", "");
  host.put("/etc/resolv.conf", "search lan.example\nnameserver 192.0.2.1\n");
  host.put(PATHS.wireguardKey, `${KEY.reveal()}\n`, { mode: 0o600 });
  host.put("/test/public-key", publicHalf(KEY) ?? "");
  for (const unit of [UNITS.tunnel, "podman.socket", "podman.service", "docker.service"]) {
    host.put(`/etc/systemd/system/${unit}`, "");
  }
  host.put(`${WANTS}/ssh.service`, "");
  intercept(host, network, engines);
  if (before.hasPodmanSocket) {
    linux.running.set("podman.socket", "");
    host.entries.set(`${WANTS}/podman.socket`, { type: "link", target: "/etc/systemd/system/podman.socket" });
  }
  const isVolatile = (path: string): boolean => path.startsWith("/run") || path === PATHS.manifest;
  return {
    host,
    network,
    engines,
    snapshot: () =>
      [host.snapshot(isVolatile), network.snapshot(), engines.snapshot(), [...linux.running.keys()].sort().join()].join(
        "\n",
      ),
  };
}

/** Units that stand for something that other fakes know more of. */
function intercept(host: FakeHost, network: FakeNetwork, engines: FakeEngines): void {
  const systemctl = host.table.get("systemctl");
  if (systemctl === undefined) throw new Error("no systemctl");
  host.table.set("systemctl", async (args, input) => {
    const [verb] = args;
    if (args.includes("docker.service")) {
      if (verb === "restart") return engines.restartDocker();
      if (verb === "reload") return engines.reloadDocker();
      if (verb === "show" && args.some((arg) => arg.includes("InvocationID"))) {
        return ok(`ActiveState=active\nInvocationID=${String(engines.daemon.invocation).padStart(32, "0")}\n`);
      }
    }
    if (verb === "try-restart" || verb === "kill") return ok();
    if (args.includes(UNITS.tunnel)) {
      if (verb === "restart" && network.wgQuickUp().code !== 0) return failed("already exists");
      if (args.includes("--now")) network.removeTunnel();
    }
    const both = verb === "enable" && args.includes("--now");
    if (both) await systemctl(["start", ...args.slice(2)], input, host);
    return systemctl(args, input, host);
  });
}

const QUIET: Before = {
  families: ["inet"],
  daemonJson: null,
  containersConf: null,
  filter: "",
  reserved: "",
  running: 0,
  hasPodmanSocket: false,
};

const befores: fc.Arbitrary<Before> = fc.record({
  families: fc.constantFrom(["inet", "bridge"], ["inet"]),
  daemonJson: fc.constantFrom(
    null,
    "{}",
    '{"debug":true,"dns":["1.1.1.1"]}\n',
    '{\n\t"dns-search": ["corp.example"]\n}',
  ),
  containersConf: fc.constantFrom(null, "# mine\n[containers]\npids_limit = 0\n", '[engine]\nruntime = "runc"\n'),
  filter: fc.constantFrom(
    "",
    ":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN",
    ":INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A FORWARD -j REJECT",
  ),
  reserved: fc.constantFrom("", "8080", "31280,40000-40010"),
  running: fc.constantFrom(0, 2),
  hasPodmanSocket: fc.boolean(),
});

const goals: fc.Arbitrary<JoinGoal> = fc
  .record({
    engine: fc.constantFrom("docker", "podman"),
    numbers: fc.uniqueArray(fc.integer({ min: 1, max: 254 }), { maxLength: 4 }),
  })
  .map(({ engine, numbers }) => ({
    phase: "join",
    spec: sampleSpec((json) => (json["engine"] = engine)),
    members: [sampleMember("web1", 0), ...numbers.map((n) => sampleMember(`server${n}`, n, { nat: n % 2 === 0 }))],
    expected: [],
    restartEngine: numbers.length % 2 === 0,
  }));

async function reach(on: Machine, goal: NodeGoal, kinds: readonly AnyResourceKind[] = KINDS): Promise<number> {
  return (await applyGoal({ host: on.host, kinds, goal, onEvent: () => undefined })).steps.length;
}

test("a plan changes nothing; a second run has nothing to do; teardown restores the machine", async () => {
  await fc.assert(
    fc.asyncProperty(befores, goals, async (before, goal) => {
      const on = machine(before);
      const untouched = on.snapshot();
      expect((await planGoal(on.host, KINDS, goal)).steps.length).toBeGreaterThan(5);
      expect(on.snapshot()).toBe(untouched);
      await reach(on, goal);
      const joined = on.snapshot();
      expect(await reach(on, goal)).toBe(0);
      expect(on.snapshot()).toBe(joined);
      await reach(on, { phase: "teardown" });
      expect(await reach(on, { phase: "teardown" })).toBe(0);
      expect(on.snapshot()).toBe(untouched);
      expect(on.engines.hasStopped).toBe(false);
    }),
    { numRuns: 12 },
  );
});

test("stopped after any change and run again, it reaches the same end; and so does teardown", async () => {
  await fc.assert(
    fc.asyncProperty(befores, goals, fc.nat(400), async (before, goal, stopAt) => {
      const whole = machine(before);
      await reach(whole, goal);
      const joined = whole.snapshot();
      await reach(whole, { phase: "teardown" });
      const gone = whole.snapshot();

      const broken = machine(before);
      await stopAndGoOn(broken, goal, stopAt);
      expect(broken.snapshot()).toBe(joined);
      await stopAndGoOn(broken, { phase: "teardown" }, stopAt);
      expect(broken.snapshot()).toBe(gone);
      expect(broken.engines.hasStopped).toBe(false);
    }),
    { numRuns: 20 },
  );
});

/** Goes there, but with one look on the way that sees nothing, and then once more. */
async function goBlindly(on: Machine, goal: NodeGoal, count: number, kinds = KINDS): Promise<void> {
  on.host.blindAfter(count);
  await reach(on, goal, kinds).catch(expectClear);
  on.host.runOn();
  await reach(on, goal, kinds);
}

test("whatever cannot be seen for a moment, teardown restores the machine", async () => {
  await fc.assert(
    fc.asyncProperty(befores, goals, fc.nat(300), async (before, goal, count) => {
      const on = machine(before);
      const untouched = on.snapshot();
      await goBlindly(on, goal, count);
      await goBlindly(on, { phase: "teardown" }, count);
      expect(on.snapshot()).toBe(untouched);
      expect(on.engines.hasStopped).toBe(false);
    }),
    { numRuns: 15 },
  );
});

test.each([
  ["Podman's socket", engineNetworkKind, { hasPodmanSocket: true }],
  ["Podman's folder of networks", engineNetworkKind, {}],
  ["the tunnel's unit", wireguardKind, {}],
])("what was there before is remembered rightly, whichever look sees nothing: %s", async (_what, kind, change) => {
  const spec = sampleSpec((json) => (json["engine"] = "podman"));
  const goal: JoinGoal = { phase: "join", spec, members: [sampleMember("web1", 0)], expected: [] };
  const start = (): Machine => {
    const on = machine({ ...QUIET, ...change });
    on.host.entries.set(`${WANTS}/${UNITS.tunnel}`, { type: "link", target: `/etc/systemd/system/${UNITS.tunnel}` });
    return on;
  };
  const seeing = start();
  await reach(seeing, goal, [kind]);
  const [remembered, looks] = [seeing.host.text(PATHS.manifest), seeing.host.looks];
  await reach(seeing, { phase: "teardown" }, [kind]);
  for (let count = 0; count < looks; count++) {
    const on = start();
    await goBlindly(on, goal, count, [kind]);
    expect(on.host.text(PATHS.manifest)).toBe(remembered);
    await goBlindly(on, { phase: "teardown" }, count, [kind]);
    expect(on.snapshot()).toBe(seeing.snapshot());
  }
});

/** What cannot be seen is said to whoever runs the command. */
function expectClear(error: unknown): void {
  if (!(error instanceof JijiError)) throw error;
}

async function stopAndGoOn(on: Machine, goal: NodeGoal, stopAt: number): Promise<void> {
  on.host.stopAfter(stopAt);
  try {
    await reach(on, goal);
  } catch (error) {
    if (!on.host.hasStopped) throw error;
  }
  on.host.runOn();
  await reach(on, goal);
}

test("another member changes nothing of those who are there", async () => {
  await fc.assert(
    fc.asyncProperty(befores, goals, async (before, goal) => {
      const on = machine(before);
      await reach(on, goal);
      const peers = new Map(on.network.tunnel?.peers);
      const log = on.host.log.length;
      const number = [200, 201, 202, 203, 204].find((n) =>
        goal.members.every(({ subnet }) => (subnet as number) !== n),
      );
      await reach(on, { ...goal, members: [...goal.members, sampleMember("newcomer", number ?? 199)] });
      for (const [key, peer] of peers) expect(on.network.tunnel?.peers.get(key)).toEqual(peer);
      expect(on.network.tunnel?.peers.size).toBe(peers.size + 1);
      const changes = on.host.log
        .slice(log)
        .filter((line) => /^(?:wg set|systemctl (?!show)|ip .* (?:replace|add|del) )/.test(line));
      expect(changes).toEqual([expect.stringContaining("wg set"), expect.stringContaining("ip -4 route replace")]);
    }),
    { numRuns: 8 },
  );
});
