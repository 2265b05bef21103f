import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { expectSuccess, runJiji, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/wait.ts";
import { addressesOf } from "../../lab/workload.ts";
import { PORTS } from "../../src/model/ports.ts";
import { buildExecutable } from "../../tools/build.ts";
import { clientImage, hasGo, loadClientImage } from "./dns-clients/image.ts";

/**
 * jiji-dns as the resolvers that people's programs have see it: glibc, musl, dig, kdig, Go and c-ares, in containers of both
 * engines. (The records are in the embedded store, which is all that clients cannot see.)
 */
const SERVERS = [
  { name: "web1", release: "trixie", engine: "docker" },
  { name: "home", release: "trixie", engine: "podman" },
] as const;
const NAME = "shop-web.jiji";

let lab: Lab;
const dnsOf: Record<string, string> = {};
/** addresses of the two containers, as every server answers them */
let addresses: readonly string[] = [];

beforeAll(async () => {
  await buildExecutable({});
  lab = await startLab({ servers: SERVERS });
  for (const { name } of SERVERS) {
    // A provider's search domain, which containers had before and must keep.
    const add = 'printf "search lab.example\\n" >> /etc/resolv.conf';
    expectSuccess(await lab.exec(name, ["sh", "-c", add]), `${name}: a search domain`);
  }
  writeDeployFile(lab, { project: "shop", network: { store: { embedded: "web1" } } });
  expectSuccess(await runJiji(lab, ["network", "setup", "--yes"]), "setup");
  for (const { name, engine } of SERVERS) {
    const shown = await lab.exec(name, ["ip", "-4", "-o", "address", "show", "dev", "jiji0"]);
    dnsOf[name] = /inet ([0-9.]+)/.exec(shown.stdout)?.[1] ?? "";
    await loadClientImage(lab, name, engine);
    const labels = ["jiji.project=shop", "jiji.service=web", `jiji.instance=${name}`].flatMap((one) => [
      "--label",
      one,
    ]);
    const run = [
      engine,
      "run",
      "-d",
      "--name",
      "clients",
      "--network",
      "jiji",
      "--expose",
      "80",
      ...labels,
      clientImage,
    ];
    expectSuccess(await lab.exec(name, [...run, "busybox", "sleep", "100000"]), `${name}: start the container`);
  }
  const counts = SERVERS.map(async ({ name }) =>
    waitFor(
      async () => {
        const found = await addressesOf(lab, name, dnsOf[name] ?? "", NAME);
        if (found.length !== SERVERS.length) throw new Error(`${found.length} addresses`);
        return found;
      },
      { timeoutMs: 60_000, what: `${name} to answer ${NAME}`, intervalMs: 50 },
    ),
  );
  [addresses = []] = await Promise.all(counts);
}, 420_000);

afterAll(async () => {
  await lab?.down();
});

interface Said {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Runs a client in the server's container; gives its lines, sorted, each once. */
async function ask(server: (typeof SERVERS)[number], ...argv: readonly string[]): Promise<Said> {
  const { code, stdout, stderr } = await lab.exec(server.name, [server.engine, "exec", "clients", ...argv], {
    timeoutMs: 40_000,
  });
  const lines = `${stdout}\n${code === 0 ? "" : stderr}`.split("\n").map((line) => line.trim());
  return { code, lines: [...new Set(lines.filter((line) => line !== ""))].toSorted() };
}

/** The addresses of a client, each of which has its own way to print them. */
async function addressesFrom(server: (typeof SERVERS)[number], ...argv: readonly string[]): Promise<readonly string[]> {
  const { lines } = await ask(server, ...argv);
  return [...new Set(lines.map((line) => line.split(/\s/)[0] ?? ""))]
    .filter((one) => /^[0-9.]+$|:/.test(one))
    .toSorted();
}

/** How each client is asked for the addresses of a name. */
const HOST: Readonly<Record<string, readonly string[]>> = {
  glibc: ["getent", "ahosts"],
  musl: ["ask-musl"],
  dig: ["dig", "+short", "+search", "+time=2"],
  kdig: ["kdig", "+short", "+time=2"],
  "c-ares": ["python3", "/usr/bin/ask-cares", "host"],
  ...(hasGo && { Go: ["ask-go", "host"] }),
};

const RECORDS: Readonly<Record<string, (type: string, name: string) => readonly string[]>> = {
  dig: (type, name) => ["dig", "+short", type, name],
  kdig: (type, name) => ["kdig", "+short", type, name],
  "c-ares": (type, name) => ["python3", "/usr/bin/ask-cares", type.toLowerCase(), name],
  ...(hasGo && { Go: (type: string, name: string) => ["ask-go", type.toLowerCase(), name] }),
};

describe.each(SERVERS)("in a container of $engine", (server) => {
  // dns-contract: clients
  test.each(Object.entries(HOST))("%s finds a service, one instance, and names of others", async (_client, argv) => {
    expect(await addressesFrom(server, ...argv, NAME)).toEqual(addresses);
    expect(await addressesFrom(server, ...argv, "SHOP-Web-Home.Jiji")).toHaveLength(1);
    expect(await addressesFrom(server, ...argv, "example.com")).toEqual(["192.0.2.80"]);
  });

  test.each(Object.entries(HOST))("%s is told at once that a name does not exist", async (_client, argv) => {
    const startMs = performance.now();
    expect(await addressesFrom(server, ...argv, "nobody.jiji")).toEqual([]);
    expect(performance.now() - startMs).toBeLessThan(4_000);
  });

  test("a short name is found in the search domain", async () => {
    // Docker's own resolver says ndots:0, with which musl and dig search nowhere; glibc still does.
    const clients =
      server.engine === "docker" ? ["glibc"] : ["glibc", "musl", "dig", "c-ares", ...(hasGo ? ["Go"] : [])];
    for (const client of clients) {
      expect([client, await addressesFrom(server, ...(HOST[client] ?? []), "shop-web")]).toEqual([client, addresses]);
    }
  });

  // dns-contract: search-domains
  test("the host's own search domain is searched too", async () => {
    // Not its own name, which Podman copies from the server's /etc/hosts.
    const [other, address] = server.name === "web1" ? ["home", "198.51.100.12"] : ["web1", "198.51.100.11"];
    expect(await addressesFrom(server, ...(HOST["glibc"] ?? []), other)).toEqual([address]);
  });

  test.each(Object.entries(RECORDS))("%s gets SRV and TXT, and over TCP what does not fit", async (_client, argv) => {
    const places = (await ask(server, ...argv("SRV", `_80._tcp.${NAME}`))).lines.map((line) =>
      line.replace(/^0 0 |\.$/g, ""),
    );
    expect(places).toEqual(["80 shop-web-home.jiji", "80 shop-web-web1.jiji"]);
    const texts = (await ask(server, ...argv("TXT", "shop-web-home.jiji"))).lines.join(" ");
    expect(texts).toContain("server=home");
    expect(texts).toContain("ports=80/tcp");
    const large = (await ask(server, ...argv("TXT", "large.example.com"))).lines.join("").replaceAll(/[" ]/g, "");
    expect(large.length).toBeGreaterThanOrEqual(2_900);
  });

  test("an address leads back to its instance's name", async () => {
    // Its own address stands in the container's /etc/hosts, so the other one is asked for.
    const own = (dnsOf[server.name] ?? "").replace(/[0-9]+$/, "");
    const address = addresses.find((one) => !one.startsWith(own)) ?? "";
    const asks = [
      ["getent", "hosts", address],
      ["dig", "+short", "-x", address],
      ["kdig", "+short", "-x", address],
    ];
    const more = [["python3", "/usr/bin/ask-cares", "ptr", address], ...(hasGo ? [["ask-go", "ptr", address]] : [])];
    for (const argv of [...asks, ...more]) {
      const said = (await ask(server, ...argv)).lines.join(" ");
      expect([argv[0], said]).toEqual([argv[0], expect.stringMatching(/shop-web-(web1|home)\.jiji/)]);
    }
  });

  test("own names come over TCP too", async () => {
    for (const program of ["dig", "kdig"]) {
      expect(await addressesFrom(server, program, "+tcp", "+short", NAME)).toEqual(addresses);
    }
  });
});

// dns-contract: strangers-udp
test("a stranger's UDP packets are dropped and counted", async () => {
  const [{ name }] = SERVERS;
  const server = dnsOf[name] ?? "";
  const strangers = async (): Promise<number> => {
    const { stdout } = await lab.exec(name, ["curl", "-sS", `http://${server}:${PORTS.metrics}/metrics`]);
    return Number(/^jiji_dns_dropped_total\{[^}]*"stranger"[^}]*\} (\d+)/m.exec(stdout)?.[1] ?? "NaN");
  };
  const shown = await lab.exec(name, ["ip", "-4", "-o", "address", "show", "scope", "global"]);
  const own = /inet (198\.51\.100\.\d+)/.exec(shown.stdout)?.[1] ?? "";
  const before = await strangers();
  // The server's public address is neither loopback, nor in the cluster, nor in an engine's network.
  const asked = await lab.exec(name, ["dig", "-b", own, `@${server}`, "+time=1", "+tries=2", "+short", NAME]);
  expect(asked.code).toBe(9); // no answer
  expect(await strangers()).toBe(before + 2);
  expect(await addressesOf(lab, name, server, NAME)).toHaveLength(SERVERS.length);
});

// dns-contract: thread-priority
test("only the packet thread of jiji-dns has a better priority than usual", async () => {
  for (const { name } of SERVERS) {
    const shown = await lab.exec(name, ["systemctl", "show", "-p", "MainPID", "--value", "jiji-dns.service"]);
    const threads = await lab.exec(name, ["ps", "-T", "-o", "ni=,tid=,comm=", "-p", shown.stdout.trim()]);
    const found = [...threads.stdout.matchAll(/^ *(-?\d+) +\d+ +(.+)$/gm)];
    const nicesOf = (isWanted: (thread: string) => boolean) =>
      new Set(found.filter(([, , thread = ""]) => isWanted(thread)).map(([, nice]) => nice));
    expect([name, nicesOf((thread) => thread === "Worker")]).toEqual([name, new Set(["-12"])]);
    // All of the rest, but what the packet thread itself has started since: its collector of garbage.
    const rest = nicesOf((thread) => thread !== "Worker" && thread !== "ollector Thread");
    expect([name, rest]).toEqual([name, new Set(["0"])]);
  }
});

// dns-contract: sandbox-exposure
test("the sandbox of jiji-dns is at 2.0 or better", async () => {
  for (const { name } of SERVERS) {
    const { stdout } = await lab.exec(name, ["systemd-analyze", "security", "--no-pager", "jiji-dns.service"]);
    const exposure = Number(/exposure level for jiji-dns\.service: ([0-9.]+)/.exec(stdout)?.[1] ?? "10");
    expect(exposure).toBeLessThanOrEqual(2);
  }
});

if (!hasGo) test.skip("Go's resolver is left out: there is no Go on this machine", () => undefined);
