import type { NetworkConfig } from "../config/deploy-config.ts";
import { ipv4ToNumber, parseIpv4 } from "../model/address.ts";
import { parseArch, type Arch } from "../model/architecture.ts";
import { cidrsOverlap, parseCidr, serverAddress, type ClusterCidr } from "../model/cluster.ts";
import { finding, type Finding } from "../model/finding.ts";
import type { NodeFacts } from "../model/node/observe.ts";
import { ENGINE_KINDS, type EngineKind } from "../model/node-spec.ts";
import { OWN_PORTS, type OwnPort } from "../model/ports.ts";
import { isOlderVersion } from "../model/version.ts";
import type { Seat } from "./allocation.ts";
import type { ObservedServer } from "./observed-server.ts";
import type { ReleaseChoice } from "./release-choice.ts";

/**
 * Why this server cannot be a member as it is; empty when it is fit. Looks only at the server itself; what several
 * servers are in together is judged in mesh.ts.
 */
export function findUnfit(
  server: ObservedServer,
  seat: Seat | undefined,
  network: NetworkConfig,
  release: ReleaseChoice,
): Finding[] {
  const { facts } = server;
  return [
    ...checkSystem(facts, release),
    ...checkEngine(server),
    ...checkNetworks(facts, network.clusterCidr),
    ...checkPorts(server, seat, network),
    ...checkExistingSpec(facts, network),
    ...checkRelease(facts, release),
    ...facts.findings,
  ].map((found) => ({ ...found, server: server.config.name }));
}

function checkSystem(facts: NodeFacts, release: ReleaseChoice): Finding[] {
  const evidence = facts.os.prettyName || "it does not say which system it is";
  const findings: Finding[] = [];
  if (facts.systemd.state === "absent") findings.push(finding("no-systemd", { evidence }));
  if (facts.systemd.state === "unknown") {
    findings.push(finding("unseen", { thing: "systemd", evidence: facts.systemd.why }));
  }
  if (facts.glibc.state === "absent") findings.push(finding("no-glibc", { evidence }));
  const arch = parseArch(facts.arch);
  if (facts.glibc.state === "found" && arch !== undefined) {
    findings.push(...checkGlibc(arch, facts.glibc.value, release));
  }
  return findings;
}

function checkGlibc(arch: Arch, version: string, release: ReleaseChoice): Finding[] {
  const corrosion = release.corrosion?.byArch[arch];
  const needs = [
    { program: "jiji", needed: release.jiji.byArch[arch].glibc },
    ...(corrosion === undefined ? [] : [{ program: "Corrosion", needed: corrosion.glibc }]),
  ];
  return needs
    .filter(({ needed }) => isOlderVersion(version, needed))
    .map((need) => finding("glibc-too-old", { version, ...need }));
}

/**
 * The engine of this server: what the file says, else what it was set up with, else the one that is there. Undefined when
 * that leaves none or a choice.
 */
export function chooseEngine(server: ObservedServer): EngineKind | undefined {
  if (server.config.engine !== undefined) return server.config.engine;
  if (server.facts.spec.state === "found") return server.facts.spec.value.engine;
  const there = ENGINE_KINDS.filter((kind) => server.facts.engines[kind].state !== "absent");
  return there.length === 1 ? there[0] : undefined;
}

function checkEngine(server: ObservedServer): Finding[] {
  const { engines } = server.facts;
  const kind = chooseEngine(server);
  if (kind === undefined) {
    const isNone = engines.docker.state === "absent" && engines.podman.state === "absent";
    return [isNone ? finding("no-engine") : finding("engine-ambiguous")];
  }
  const engine = kind === "docker" ? "Docker" : "Podman";
  const reading = engines[kind];
  if (reading.state === "absent") return [finding("engine-missing", { engine })];
  if (reading.state === "unknown") return [finding("engine-silent", { engine, evidence: reading.why })];
  return [
    ...(reading.value.netavark === false ? [finding("podman-without-netavark")] : []),
    ...(reading.value.rootless === true ? [finding("rootless", { engine })] : []),
  ];
}

function checkNetworks(facts: NodeFacts, cluster: ClusterCidr): Finding[] {
  return facts.networks.flatMap(({ cidr, what }): Finding[] => {
    const network = parseCidr(cidr);
    if (network === undefined || network.endsWith("/0") || !cidrsOverlap(network, cluster)) return [];
    return [finding("range-taken", { cidr, user: what, cluster })];
  });
}

const WILDCARDS = new Set(["0.0.0.0", "::", "*", ""]);

function checkPorts({ config, facts }: ObservedServer, seat: Seat | undefined, network: NetworkConfig): Finding[] {
  const { clusterCidr, store } = network;
  const own = seat === undefined ? undefined : serverAddress(clusterCidr, seat.subnet);
  const holdsStore = store.kind === "embedded" && store.holder === config.name;
  const isNeeded = ({ onlyWith }: OwnPort): boolean =>
    onlyWith === undefined || (onlyWith === "corrosion" ? store.kind === "corrosion" : holdsStore);
  const needs = Object.values<OwnPort>(OWN_PORTS).filter(isNeeded);
  return facts.listeners.flatMap(({ protocol, address, port, program }): Finding[] => {
    const needed = needs.find((candidate) => candidate.port === port && candidate.protocols.includes(protocol));
    if (needed === undefined) return [];
    const wanted = needed.on === "loopback" ? isLoopback(address) : needed.on === "any" || address === own;
    if (!wanted && !WILDCARDS.has(address)) return [];
    const holder = program === "" ? "another program" : program;
    return [
      finding("port-taken", {
        port: `${port}/${protocol}`,
        program: holder,
        needing: needed.what,
        evidence: `it listens on ${address === "" ? "*" : address}`,
        cure: needed.on === "any" ? `stop ${holder}; ss -lnp shows it` : undefined,
      }),
    ];
  });
}

function isLoopback(address: string): boolean {
  const v4 = parseIpv4(address);
  return v4 !== undefined && ipv4ToNumber(v4) >>> 24 === 127;
}

function checkExistingSpec(facts: NodeFacts, network: NetworkConfig): Finding[] {
  if (facts.spec.state !== "found") return [];
  const { cluster, store } = facts.spec.value;
  const findings: Finding[] = [];
  const compare = (key: string, here: string | number, file: string | number): void => {
    if (here !== file) findings.push(finding("mesh-differs", { key, here, file }));
  };
  compare("cluster_cidr", cluster.cidr, network.clusterCidr);
  compare("mtu", cluster.mtuBytes, network.mtuBytes);
  compare("store", store.kind, network.store.kind);
  return findings;
}

function checkRelease(facts: NodeFacts, release: ReleaseChoice): Finding[] {
  const installed = facts.release.jiji;
  const { version } = release.jiji;
  if (installed.state !== "found" || !isOlderVersion(version, installed.value)) return [];
  return [finding("newer-release", { installed: installed.value, version })];
}
