import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { buildExecutable } from "../../tools/build.ts";
import { mustFindCorrosion } from "../../lab/corrosion-choice.ts";
import { expectSuccess, runJiji, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type Lab } from "../../lab/lab.ts";
import { diffSnapshots, snapshotServer, type ServerSnapshot } from "../../lab/snapshot.ts";
import { askSteadily, floodWithPings } from "../../lab/traffic.ts";
import { waitFor } from "../../lab/wait.ts";
import {
  addressesOf,
  fetchInContainer,
  removeContainer,
  startComposeProject,
  startWebContainer,
  stopContainer,
} from "../../lab/workload.ts";
import { PATHS } from "../../src/model/paths.ts";

/**
 * One mesh over three generations of Debian and both engines, from an empty machine to an empty machine. The tests run in
 * order and build on each other, as the life of a network does.
 */
let lab: Lab;
let setupArguments: readonly string[];
const before = new Map<string, ServerSnapshot>();

/** What the closing report wants to know; printed at the end. */
const figures: Record<string, string | number> = {};

/** All that commands have told the operator. */
const said: string[] = [];

const dnsOf: Record<string, string> = {};

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return Math.round(performance.now() - begin);
}

async function readDnsAddresses(): Promise<void> {
  for (const { name } of lab.servers) {
    const shown = await lab.exec(name, ["ip", "-4", "-o", "address", "show", "dev", "jiji0"]);
    const address = /inet ([0-9.]+)/.exec(shown.stdout)?.[1];
    if (address !== undefined) dnsOf[name] = address;
  }
}

async function answerOn(
  server: string,
  name: string,
  addresses: number,
  timeoutMs = 15_000,
): Promise<readonly string[]> {
  return waitFor(
    async () => {
      const seen = await addressesOf(lab, server, dnsOf[server] ?? "", name);
      if (seen.length !== addresses) throw new Error(`answer: ${seen.join(" ") || "nothing"}`);
      return seen;
    },
    { timeoutMs, what: `${server} to answer ${name} with ${addresses} addresses`, intervalMs: 10 },
  );
}

beforeAll(async () => {
  await buildExecutable({});
  const corrosion = await mustFindCorrosion();
  setupArguments = ["network", "setup", "--yes", "--corrosion-binary", corrosion];
  lab = await startLab({
    servers: [
      { name: "web1", release: "trixie", engine: "docker" },
      { name: "home", release: "bookworm", engine: "podman" },
      { name: "db1", release: "forky", engine: "docker" },
    ],
  });
  for (const { name } of lab.servers) before.set(name, await snapshotServer(lab, name));
  writeDeployFile(lab, { project: "shop" });
}, 900_000);

afterAll(async () => {
  console.log(JSON.stringify({ figures }, null, 2));
  await lab?.down();
});

test("a dry run shows a plan and changes nothing", async () => {
  const result = await runJiji(lab, [...setupArguments, "--dry-run"]);
  expectSuccess(result, "dry run");
  expect(result.stdout).toContain("bring up jiji0 with 10.210.0.1");
  for (const { name } of lab.servers)
    expect(diffSnapshots(before.get(name)!, await snapshotServer(lab, name))).toEqual([]);
}, 60_000);

test("one command sets three empty servers up", async () => {
  figures["setup from zero, ms"] = await timed(async () => {
    const result = expectSuccess(await runJiji(lab, [...setupArguments, "--verbose"]), "setup");
    said.push(result.stdout, result.stderr);
  });
  await readDnsAddresses();
  expect(Object.keys(dnsOf).length).toBe(3);
}, 240_000);

test("a second setup plans nothing and takes at most 3 s", async () => {
  const took: number[] = [];
  // the first one meets what the first setup has left cold, and the machine may be busy with other things for a while
  while (took.length < 4 && Math.min(...took) > 3000) {
    took.push(
      await timed(async () => {
        const result = expectSuccess(await runJiji(lab, [...setupArguments, "--json"]), "second setup");
        said.push(result.stdout, result.stderr);
        const report = JSON.parse(result.stdout) as { servers: { steps: unknown[] }[] };
        expect(report.servers.flatMap((server) => server.steps)).toEqual([]);
      }),
    );
  }
  figures["second setup, ms"] = took.join(", ");
  const isBusy = (loadavg()[0] ?? 0) > 3 * availableParallelism();
  if (!isBusy) expect(Math.min(...took)).toBeLessThanOrEqual(3000);
}, 60_000);

test("keys and tokens stand in the files of their own and nowhere else", async () => {
  const places = ["/etc", "/opt", "/run", "/root", "/home", "/tmp", "/var/lib/jiji-dns", "/var/log"];
  // config.toml is Corrosion's own, and the token stands in it for Corrosion alone
  const own = [PATHS.wireguardKey, PATHS.identity, PATHS.corrosionToken, PATHS.corrosionConfig];
  const secrets: string[] = [];
  for (const { name } of lab.servers) {
    const read = async (path: string) => expectSuccess(await lab.exec(name, ["cat", path]), `${name}: ${path}`).stdout;
    const identity = JSON.parse(await read(PATHS.identity)) as { privateKey: string };
    const ofServer = [await read(PATHS.wireguardKey), await read(PATHS.corrosionToken), identity.privateKey];
    const input = ofServer.map((secret) => `${secret.trim()}\n`).join("");
    const found = await lab.exec(name, ["grep", "-rlF", "--devices=skip", "-f", "-", ...places], { input });
    expect(found.stdout.trim().split("\n").toSorted()).toEqual(own.toSorted());
    const script =
      'f=$(mktemp) && cat >"$f" && (journalctl -o cat --no-pager; ps -eo args) | grep -cF -f "$f"; rm "$f"';
    expect((await lab.exec(name, ["sh", "-c", script], { input })).stdout).toBe("0\n");
    const modes = await lab.exec(name, ["stat", "-c", "%a %U %G", ...own]);
    expect(modes.stdout.trim().split("\n")).toEqual([
      ...["600 root root", "600 root root", "640 root jiji-corrosion", "640 root jiji-corrosion"],
    ]);
    secrets.push(...input.trim().split("\n"));
  }
  const seen = [...said, ...readAll(lab.operator.home)].join("\n");
  expect(secrets.filter((secret) => seen.includes(secret))).toEqual([]);
}, 60_000);

/** The text of every file in a folder and below. */
function readAll(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"));
}

test("containers of either engine reach each other by name, with their own addresses", async () => {
  await startComposeProject(lab, "web1", "shop", "web", "hello from web1");
  await startWebContainer(lab, "home", { name: "api", project: "shop", service: "api", text: "hello from home" });
  await startWebContainer(lab, "db1", {
    name: "db",
    project: "shop",
    service: "db",
    instance: "primary",
    text: "hello from db1",
  });
  for (const from of ["web1", "home", "db1"]) {
    for (const [name, text] of [
      ["shop-web.jiji", "hello from web1"],
      ["shop-api.jiji", "hello from home"],
      ["shop-db.jiji", "hello from db1"],
      ["shop-db-primary.jiji", "hello from db1"],
    ] as const) {
      await answerOn(from, name, 1);
      const page = await fetchInContainer(lab, from, name);
      expect(`${from} ${name}: ${page.stdout.trim()}${page.stderr}`).toBe(`${from} ${name}: ${text}`);
    }
  }
}, 120_000);

test("other names are forwarded, unknown ones below jiji are NXDOMAIN, AAAA is an empty answer", async () => {
  const dig = async (...args: string[]) =>
    (await lab.exec("web1", ["dig", "+time=2", "+tries=1", `@${dnsOf["web1"]}`, ...args])).stdout;
  expect(await dig("+short", "example.com", "A")).toBe("192.0.2.80\n");
  expect(await dig("nothing-here.jiji", "A")).toMatch(/status: NXDOMAIN[\s\S]*SOA/);
  expect(await dig("shop-web.jiji", "AAAA")).toMatch(/status: NOERROR[\s\S]*ANSWER: 0[\s\S]*SOA/);
  expect(await dig("+tcp", "+short", "shop-web.jiji", "A")).toMatch(/^10\.210\./);
}, 30_000);

test("status and dns tell the same as the servers do, for people and for programs", async () => {
  const status = expectSuccess(await runJiji(lab, ["network", "status", "--json"]), "status");
  expect((JSON.parse(status.stdout) as { servers: unknown[] }).servers.length).toBe(3);
  const people = expectSuccess(await runJiji(lab, ["network", "status"]), "status");
  for (const name of ["web1", "home", "db1"]) expect(people.stdout).toContain(name);
  const dns = expectSuccess(await runJiji(lab, ["network", "dns"]), "dns");
  for (const name of ["shop-web.jiji", "shop-api.jiji", "shop-db-primary.jiji"]) expect(dns.stdout).toContain(name);
  expect(dns.stdout).not.toContain("\u001B[");
}, 30_000);

test("from a container's start to its name on another server, 20 times", async () => {
  const took: number[] = [];
  for (let n = 0; n < 20; n++) {
    const name = `try-n${n}.jiji`;
    const address = dnsOf["home"]!;
    const asked = askSteadily(lab, {
      ...{ from: "home", address, name, perSecond: 1000, seconds: 30, answers: 1, untilAnswered: true },
    });
    await startWebContainer(lab, "web1", { name: `try${n}`, project: "try", service: `n${n}`, text: "x" });
    const { firstAtMs } = await asked.counts;
    if (firstAtMs === null) throw new Error(`home never answered ${name}`);
    took.push(firstAtMs - (await startedAtMs("web1", `try${n}`)));
    await removeContainer(lab, "web1", `try${n}`);
  }
  took.sort((a, b) => a - b);
  figures["container started → name answered elsewhere, median ms"] = Math.round(took[10] ?? 0);
  figures["container started → name answered elsewhere, worst ms"] = Math.round(took[19] ?? 0);
}, 300_000);

/** When the engine says that a container's program was started, in ms since 1970. All servers share one clock here. */
async function startedAtMs(server: string, container: string): Promise<number> {
  const argv = ["docker", "inspect", "--format", "{{.State.StartedAt}}", container];
  const shown = expectSuccess(await lab.exec(server, argv), `${server}: inspect ${container}`);
  return Date.parse(shown.stdout.trim());
}

test("a stopped container leaves the answer everywhere", async () => {
  await stopContainer(lab, "db1", "db");
  for (const from of ["web1", "home", "db1"]) await answerOn(from, "shop-db.jiji", 0);
}, 60_000);

// dns-contract: lossless-restart
test("a fourth server joins, and every service restarts, without a lost packet or answer", async () => {
  await lab.addServer({ name: "new1", release: "trixie", engine: "podman" });
  before.set("new1", await snapshotServer(lab, "new1"));
  writeDeployFile(lab, { project: "shop" });
  const seconds = 200;
  const address = dnsOf["web1"]!;
  const ping = floodWithPings(lab, { from: "web1", source: address, address: dnsOf["home"]! });
  const load = askSteadily(lab, {
    ...{ from: "web1", address, name: "shop-api.jiji", perSecond: 500, seconds, answers: 1 },
  });
  const begin = performance.now();
  figures["a fourth server joins, ms"] = await timed(async () =>
    expectSuccess(await runJiji(lab, setupArguments), "setup of the fourth"),
  );
  for (const name of ["web1", "home", "db1"]) {
    const units = await lab.exec(name, [
      "systemctl",
      "list-units",
      "--plain",
      "--no-legend",
      "--state=active",
      "jiji-*.service",
    ]);
    const services = units.stdout
      .split("\n")
      .flatMap((line) => line.split(" ")[0] ?? [])
      .filter((unit) => unit.startsWith("jiji-"));
    expect(services.length).toBeGreaterThanOrEqual(3);
    expectSuccess(
      await lab.exec(name, ["systemctl", "restart", ...services], { timeoutMs: 60_000 }),
      `${name}: restart`,
    );
    for (const unit of services) figures[`${name}: ${unit} stopped in, ms`] = await stopTookMs(name, unit);
    // after 5 s they would end in any case, with something left open
    for (const unit of ["jiji-agent.service", "jiji-dns.service"])
      expect(await stopTookMs(name, unit)).toBeLessThan(4000);
  }
  const lasted = (performance.now() - begin) / 1000;
  const pinged = await ping.stop();
  figures["ping flood during it"] = `${pinged.received} of ${pinged.sent}`;
  const counts = await load.stop();
  figures["questions during it"] = JSON.stringify(counts);
  expect(pinged.sent).toBeGreaterThan(20 * lasted);
  expect(pinged.received).toBe(pinged.sent);
  expect(counts.sent).toBeGreaterThan(400 * lasted);
  expect({ answered: counts.answered, wrong: counts.wrong }).toEqual({ answered: counts.sent, wrong: 0 });
  await readDnsAddresses();
  const page = await fetchInContainer(lab, "new1", "shop-web.jiji");
  expect(page.stdout.trim()).toBe("hello from web1");
}, 240_000);

/** How long a unit's last stop took, from the signal to the end of its processes. */
async function stopTookMs(server: string, unit: string): Promise<number> {
  const properties = "--property=ActiveExitTimestampMonotonic,InactiveEnterTimestampMonotonic";
  const shown = expectSuccess(
    await lab.exec(server, ["systemctl", "show", properties, unit]),
    `${server}: show ${unit}`,
  );
  const at = (name: string): number =>
    Number(new RegExp(`^${name}TimestampMonotonic=([0-9]+)$`, "m").exec(shown.stdout)?.[1]);
  return (at("InactiveEnter") - at("ActiveExit")) / 1000;
}

test("two setups at once: one works, the other waits or is refused with the holder's name", async () => {
  const both = await Promise.all([runJiji(lab, setupArguments), runJiji(lab, setupArguments)]);
  for (const result of both) {
    if (result.code !== 0) expect(result.stderr).toMatch(/lock|held|another/);
  }
  expect(both.some((result) => result.code === 0)).toBe(true);
}, 120_000);

test("a server that is down is skipped: the others are set up, exit 4", async () => {
  writeDeployFile(lab, { project: "shop", ssh: { timeout: 3000 } });
  await lab.cut("new1");
  const result = await runJiji(lab, setupArguments);
  expect(result.code).toBe(4);
  expect(result.stderr + result.stdout).toContain("new1");
  const status = await runJiji(lab, ["network", "status"]);
  expect(status.code).toBe(5);
  await lab.heal("new1");
}, 120_000);

// dns-contract: boot-order
test("after a reboot everything comes back by itself", async () => {
  await lab.reboot("home");
  await answerOn("home", "shop-web.jiji", 1, 30_000);
  await lab.exec("home", ["podman", "start", "api"]);
  await answerOn("web1", "shop-api.jiji", 1, 30_000);
  const page = await fetchInContainer(lab, "web1", "shop-api.jiji");
  expect(page.stdout.trim()).toBe("hello from home");
}, 120_000);

test("teardown leaves every server as it was", async () => {
  await lab.exec("web1", ["docker", "compose", "-p", "shop", "-f", "/root/shop/compose.yaml", "down", "-t", "1"]);
  await removeContainer(lab, "home", "api");
  await removeContainer(lab, "db1", "db");
  await lab.exec("home", ["podman", "rm", "-fa"]);
  figures["teardown, ms"] = await timed(async () =>
    expectSuccess(await runJiji(lab, ["network", "teardown", "--yes"]), "teardown"),
  );
  for (const { name } of lab.servers) {
    const left = diffSnapshots(before.get(name)!, await snapshotServer(lab, name));
    expect(left.map((line) => `${name}: ${line}`)).toEqual([]);
  }
}, 120_000);
