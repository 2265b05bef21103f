import { parseCidr } from "../model/cluster.ts";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../model/address.ts";
import { finding, type Finding } from "../model/finding.ts";
import type { EngineKind } from "../model/node-spec.ts";
import { BRIDGE, ENGINE_NETWORK, INTERFACE } from "../model/ports.ts";
import { found, type Reading } from "../model/reading.ts";
import { ENGINE_NETWORK_KIND, networkTarget } from "../plan/kinds/engine-network.ts";
import { manifestEntry, type Manifest } from "../plan/manifest.ts";
import { WIREGUARD_KIND } from "../plan/kinds/wireguard.ts";
import { UNITS } from "../model/units.ts";
import { GUARD_METRIC } from "../render/guard-routes.ts";
import type { Host } from "../system/host.ts";
import { listDockerNetworks, observeDockerNetwork } from "./docker-network.ts";
import { DNS_FILES } from "../plan/kinds/engine-dns.ts";
import { observeLinks, observeRoutes } from "./links.ts";
import { listPodmanNetworks, observePodmanNetwork } from "./podman-network.ts";
import { look } from "./programs.ts";

/** A range of addresses that something on this server uses. */
export interface UsedNetwork {
  readonly cidr: string;
  /** for people, e.g. `route through eth0`, `docker network web` */
  readonly what: string;
}

const OWN_LINKS: readonly (string | null)[] = [INTERFACE, BRIDGE];

/**
 * Networks that this server's interfaces, routes and engines use, jiji's own left out: whatever lies on jiji0 and its
 * bridge, the route that guards the cluster, the engines' network "jiji". An engine that is not installed has none.
 */
export async function observeUsedNetworks(host: Host): Promise<Reading<readonly UsedNetwork[]>> {
  const links = await observeLinks(host);
  if (links.state !== "found") return links;
  const routes = await observeRoutes(host);
  if (routes.state !== "found") return routes;
  const docker = await listDockerNetworks(host);
  if (docker.state === "unknown") return docker;
  const podman = await listPodmanNetworks(host);
  if (podman.state === "unknown") return podman;
  const used = [
    ...links.value
      .filter(({ name }) => name !== "lo" && !OWN_LINKS.includes(name))
      .flatMap(({ name, addresses }) => addresses.map((address) => ({ cidr: networkOf(address), what: name }))),
    ...routes.value
      .filter((route) => !OWN_LINKS.includes(route.dev) && route.dst !== "0.0.0.0/0")
      .filter((route) => !(route.type === "unreachable" && route.metric === GUARD_METRIC))
      .map(({ dst, dev, type }) => ({ cidr: dst, what: dev === null ? `${type} route` : `route through ${dev}` })),
    ...engineNetworks("docker", docker),
    ...engineNetworks("podman", podman),
  ];
  const seen = new Set<string>();
  return found(
    used.filter(({ cidr, what }) => {
      const isNew = parseCidr(cidr) !== undefined && !seen.has(`${cidr} ${what}`);
      seen.add(`${cidr} ${what}`);
      return isNew;
    }),
  );
}

function engineNetworks(
  engine: EngineKind,
  listed: Reading<readonly { readonly name: string; readonly subnets: readonly string[] }[]>,
): readonly UsedNetwork[] {
  if (listed.state !== "found") return [];
  return listed.value
    .filter(({ name }) => name !== ENGINE_NETWORK)
    .flatMap(({ name, subnets }) => subnets.map((cidr) => ({ cidr, what: `${engine} network ${name}` })));
}

/** 192.0.2.7/24 → 192.0.2.0/24 */
function networkOf(address: string): string {
  const [host = "", prefix = "32"] = address.split("/");
  const parsed = parseIpv4(host);
  if (parsed === undefined) return address;
  const size = 2 ** (32 - Number(prefix));
  return `${ipv4FromNumber(Math.floor(ipv4ToNumber(parsed) / size) * size)}/${prefix}`;
}

/**
 * Why this server's network is unfit for jiji with that engine, apart from overlaps and ports; empty when it is fit. What
 * cannot be looked at is a finding too.
 */
export async function findNetworkObstacles(
  host: Host,
  engine: EngineKind,
  manifest: Manifest,
): Promise<readonly Finding[]> {
  const findings = await Promise.all([
    interfaceObstacles(host, manifest),
    engineNetworkObstacles(host, engine, manifest),
    engine === "docker" ? dockerObstacles(host) : [],
    dnsFileObstacles(host, engine),
  ]);
  return findings.flat();
}

async function interfaceObstacles(host: Host, manifest: Manifest): Promise<readonly Finding[]> {
  const links = await observeLinks(host);
  if (links.state !== "found") {
    const evidence = links.state === "unknown" ? links.why : "nothing was listed";
    return [finding("unseen", { thing: "the interfaces", evidence, cure: "install iproute2" })];
  }
  const names = new Set(links.value.map(({ name }) => name));
  const isOurs = (kind: string, target: string): boolean => manifestEntry(manifest, kind, target) !== undefined;
  const hasNetwork = (["docker", "podman"] as const).some((each) => isOurs(ENGINE_NETWORK_KIND, networkTarget(each)));
  const foreign = [
    ...(isOurs(WIREGUARD_KIND, UNITS.tunnel) ? [] : [INTERFACE]),
    ...(hasNetwork ? [] : [BRIDGE]),
  ].filter((name) => names.has(name));
  return foreign.map((name) => finding("interface-taken", { name }));
}

async function engineNetworkObstacles(host: Host, engine: EngineKind, manifest: Manifest): Promise<readonly Finding[]> {
  // jiji's own network is no obstacle, and the engine need not be asked about it
  if (manifestEntry(manifest, ENGINE_NETWORK_KIND, networkTarget(engine)) !== undefined) return [];
  const network = engine === "docker" ? await observeDockerNetwork(host) : await observePodmanNetwork(host);
  if (network.state === "unknown") {
    return [finding("engine-silent", { engine, evidence: network.why })];
  }
  if (network.state === "absent" || network.value.isLabelled) return [];
  const evidence = network.value.hasDns ? { evidence: "it has a DNS server of its own" } : {};
  return [finding("network-taken", { engine, network: ENGINE_NETWORK, ...evidence })];
}

async function dockerObstacles(host: Host): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const version = await look(host, ["docker", "version", "--format", "{{.Server.Version}}"]);
  if (version.state === "found" && /^28\.[01]\./.test(version.value)) {
    findings.push(finding("docker-drops-tunnel", { version: version.value.trim() }));
  }
  const pid = await look(host, ["systemctl", "show", "-p", "MainPID", "--value", "docker.service"]);
  const commandLine = await host.files.read(`/proc/${pid.state === "found" ? Number(pid.value) : 0}/cmdline`);
  const options = commandLine.state === "found" ? commandLine.value.split("\0") : [];
  const option = options.find((given) => /^--dns(?:-search)?(?:=|$)/.test(given));
  const { path } = DNS_FILES.docker;
  if (option !== undefined) findings.push(finding("docker-dns-option", { option, path }));
  // Docker's own nftables backend has no chain in which others may accept
  const info = await look(host, ["docker", "info", "--format", "{{json .FirewallBackend}}"]);
  if (info.state === "found" && info.value.includes("nftables")) findings.push(finding("docker-nftables", { path }));
  return findings;
}

async function dnsFileObstacles(host: Host, engine: EngineKind): Promise<readonly Finding[]> {
  const { path, format } = DNS_FILES[engine];
  const text = await host.files.read(path);
  if (text.state === "unknown") return [finding("unseen", { thing: path, evidence: text.why })];
  const isFit = text.state === "absent" || format.read(text.value) !== undefined;
  return isFit ? [] : [finding("engine-config", { path, engine })];
}
