import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { DnsSettings } from "../../src/model/dns-settings.ts";
import { runProgram, startPinned, weighMore, type Running } from "./processes.ts";
import { CLUSTER_CIDR, type SampleName } from "./sample.ts";

/** A server that takes part, started by {@link startContender}. */
export type ContenderName = "c-loop" | "jiji" | "knot" | "unbound" | "dnsmasq" | "coredns";

/** What a server is asked to do. */
export interface Job {
  /** names that it answers itself */
  readonly names: readonly SampleName[];
  /** a resolver for all other names, which are kept in its cache; undefined: own names only */
  readonly upstream: { readonly host: string; readonly port: number } | undefined;
  /** of the socket that gives jiji-dns its rows */
  readonly rows: string;
}

/** A server that listens. */
export interface Contender extends Running {
  readonly name: ContenderName;
  readonly host: string;
  readonly port: number;
}

/** Each listens at its own loopback address. */
const HOSTS: Record<ContenderName, string> = {
  "c-loop": "127.0.0.1",
  jiji: "127.0.0.41",
  knot: "127.0.0.42",
  unbound: "127.0.0.43",
  dnsmasq: "127.0.0.44",
  coredns: "127.0.0.45",
};

const TTL_SECONDS = 60;

/** Programs of this repository: jiji's executable, and what the bench compiled. */
export interface OwnPrograms {
  readonly jiji: string;
  readonly cLoop: string;
}

/** Where the other servers' programs are; those that are missing are not compared with. */
export function findPeers(): ReadonlyMap<ContenderName, string> {
  const places: Partial<Record<ContenderName, readonly (string | null)[]>> = {
    knot: [Bun.which("knotd", { PATH: SYSTEM_PATH })],
    unbound: [Bun.which("unbound", { PATH: SYSTEM_PATH })],
    dnsmasq: [Bun.which("dnsmasq", { PATH: SYSTEM_PATH })],
    coredns: [Bun.which("coredns"), join(homedir(), "go", "bin", "coredns"), coreDnsPath()],
  };
  const found = new Map<ContenderName, string>();
  for (const [name, candidates] of Object.entries(places)) {
    const path = candidates.find((candidate) => candidate !== null && existsSync(candidate));
    if (typeof path === "string") found.set(name as ContenderName, path);
  }
  return found;
}

const SYSTEM_PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin`;

const CORE_DNS_VERSION = "v1.12.4";

function coreDnsPath(): string {
  return join(process.env["JIJI_CACHE"] ?? join(homedir(), ".cache", "jiji"), "coredns", CORE_DNS_VERSION, "coredns");
}

/** Builds CoreDNS with Go, when Go is there; gives what went wrong, or undefined. */
export async function buildCoreDns(): Promise<string | undefined> {
  const go = Bun.which("go") ?? (existsSync("/usr/local/go/bin/go") ? "/usr/local/go/bin/go" : null);
  if (go === null) return "Go is not there";
  const folder = join(coreDnsPath(), "..");
  try {
    await runProgram(["env", `GOBIN=${folder}`, go, "install", `github.com/coredns/coredns@${CORE_DNS_VERSION}`]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * Starts a server on the given cores; it may not listen yet. Each is configured for this job at its best: one thread, no
 * log, answers from memory.
 */
export async function startContender(
  name: ContenderName,
  program: string,
  port: number,
  job: Job,
  folder: string,
  { cores, isService }: { readonly cores: readonly number[]; readonly isService: boolean },
): Promise<Contender> {
  const host = HOSTS[name];
  const argv = await commandLine(name, program, { host, port }, job, folder);
  const isBetter = isService && name === "jiji" && process.getuid?.() === 0;
  const running = startPinned(isBetter ? [...SERVICE_NICE, ...argv] : argv, folder, cores);
  if (isBetter) weighMore(running.pid, SERVICE_GROUP_NICE);
  return { ...running, name, host, port };
}

type Place = { readonly host: string; readonly port: number };

function commandLine(
  name: ContenderName,
  program: string,
  place: Place,
  job: Job,
  folder: string,
): Promise<readonly string[]> {
  switch (name) {
    case "c-loop":
      return Promise.resolve([program, `${place.port}`]);
    case "jiji":
      return jijiCommand(program, place, job, folder);
    case "knot":
      return knotCommand(program, place, job, folder);
    case "unbound":
      return unboundCommand(program, place, job, folder);
    case "dnsmasq":
      return dnsmasqCommand(program, place, job, folder);
    case "coredns":
      return coreDnsCommand(program, place, job, folder);
  }
}

/**
 * The priority that jiji-dns.service gives: Nice=, and in the place of CPUWeight=1000, ten times the usual, the nearest nice
 * value of a session, which needs no cgroups (sched(7), autogroup). Root only.
 */
const SERVICE_NICE = ["nice", "-n", "-12"];
const SERVICE_GROUP_NICE = -10;

/** As jiji-dns.service runs it, but for the socket that systemd would hand over and the agent, who hides nobody here. */
async function jijiCommand(program: string, { host, port }: Place, job: Job, folder: string) {
  const { upstream } = job;
  const settings: Omit<DnsSettings, "clusterCidr" | "upstreams"> & Record<string, unknown> = {
    version: 1,
    listen: [`${host}:${port}`],
    store: { url: `unix:${job.rows}`, tokenFile: null },
    agentSocket: null,
    self: null,
    clusterCidr: CLUSTER_CIDR,
    ttlSeconds: TTL_SECONDS,
    localFirst: false,
    upstreams: [upstream === undefined ? "127.0.0.1:9" : `${upstream.host}:${upstream.port}`],
    stateFile: join(folder, "table.json"),
    metrics: `${host}:0`,
    controlSocket: join(folder, "control.sock"),
  };
  await writeFile(join(folder, "settings.json"), JSON.stringify(settings));
  return [program, "dns", "serve", "--settings", join(folder, "settings.json")];
}

async function knotCommand(program: string, { host, port }: Place, job: Job, folder: string) {
  const zone = [
    "$ORIGIN jiji.",
    `$TTL ${TTL_SECONDS}`,
    "@ SOA ns.jiji. hostmaster.jiji. 1 3600 600 86400 5",
    "@ NS ns.jiji.",
    "ns A 10.210.0.1",
    ...job.names.flatMap(({ name, addresses }) => addresses.map((address) => `${name}. A ${address}`)),
  ];
  await writeFile(join(folder, "jiji.zone"), `${zone.join("\n")}\n`);
  const configuration = `server:
    rundir: "${folder}"
    listen: ${host}@${port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    pidfile: "${folder}/knot.pid"
control:
    listen: "${folder}/knot.sock"
database:
    storage: "${folder}/knot"
log:
  - target: stderr
    any: error
template:
  - id: default
    storage: "${folder}"
    journal-content: none
    zonefile-load: whole
    semantic-checks: off
zone:
  - domain: jiji
    file: jiji.zone
`;
  await writeFile(join(folder, "knot.conf"), configuration);
  return [program, "-c", join(folder, "knot.conf")];
}

async function unboundCommand(program: string, { host, port }: Place, job: Job, folder: string) {
  const data = job.names.flatMap(({ name, addresses }) =>
    addresses.map((address) => `  local-data: "${name}. ${TTL_SECONDS} A ${address}"`),
  );
  const forward =
    job.upstream === undefined
      ? ""
      : `forward-zone:\n  name: "."\n  forward-addr: ${job.upstream.host}@${job.upstream.port}\n`;
  const configuration = `server:
  interface: ${host}
  port: ${port}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  logfile: "/dev/null"
  verbosity: 0
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  minimal-responses: yes
  rrset-roundrobin: no
  so-rcvbuf: 4m
  so-sndbuf: 4m
  msg-cache-size: 32m
  rrset-cache-size: 64m
  key-cache-size: 1m
  neg-cache-size: 1m
  local-zone: "jiji." static
  local-data: "jiji. 5 SOA ns.jiji. hostmaster.jiji. 1 3600 600 86400 5"
${data.join("\n")}
remote-control:
  control-enable: no
${forward}`;
  await writeFile(join(folder, "unbound.conf"), configuration);
  return [program, "-d", "-c", join(folder, "unbound.conf")];
}

async function hostsFile(job: Job, folder: string): Promise<string> {
  const path = join(folder, "hosts");
  const lines = job.names.flatMap(({ name, addresses }) => addresses.map((address) => `${address} ${name}`));
  await writeFile(path, `${lines.join("\n")}\n`);
  return path;
}

async function dnsmasqCommand(program: string, { host, port }: Place, job: Job, folder: string) {
  const hosts = await hostsFile(job, folder);
  const { upstream } = job;
  return [
    ...[program, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--no-resolv"],
    ...["--no-hosts", `--addn-hosts=${hosts}`, "--local=/jiji/", `--local-ttl=${TTL_SECONDS}`, "--cache-size=10000"],
    ...["--bind-interfaces", `--listen-address=${host}`, `--port=${port}`, "--log-facility=/dev/null"],
    ...(upstream === undefined ? [] : [`--server=${upstream.host}#${upstream.port}`]),
  ];
}

async function coreDnsCommand(program: string, { host, port }: Place, job: Job, folder: string) {
  const hosts = await hostsFile(job, folder);
  const { upstream } = job;
  const own = `jiji:${port} {
  bind ${host}
  hosts ${hosts} {
    ttl ${TTL_SECONDS}
    reload 0
    no_reverse
  }
}
`;
  const forward =
    upstream === undefined
      ? ""
      : `.:${port} {
  bind ${host}
  cache {
    success 20000
    servfail 0
  }
  forward . ${upstream.host}:${upstream.port}
}
`;
  await writeFile(join(folder, "Corefile"), own + forward);
  return [program, "-conf", join(folder, "Corefile"), "-quiet"];
}
