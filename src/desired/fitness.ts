import type { NetworkConfig } from "../config/deploy-config.ts";
import { ipv4ToNumber, parseIpv4 } from "../model/address.ts";
import { parseArch, type Arch } from "../model/architecture.ts";
import { cidrsOverlap, parseCidr, serverAddress, type ClusterCidr } from "../model/cluster.ts";
import type { NodeFacts } from "../model/node/observe.ts";
import type { EngineKind } from "../model/node-spec.ts";
import { OWN_PORTS, type OwnPort } from "../model/ports.ts";
import { isOlderVersion } from "../model/version.ts";
import type { Seat } from "./allocation.ts";
import type { ObservedServer, Problem } from "./observed-server.ts";
import type { ReleaseChoice } from "./release-choice.ts";

type Finding = Omit<Problem, "server">;

/**
 * Why this server cannot be a member as it is; empty when it is fit. Looks only at the server itself; what several
 * servers are in together is judged in mesh.ts.
 */
export function findUnfit(
  server: ObservedServer,
  seat: Seat | undefined,
  network: NetworkConfig,
  release: ReleaseChoice,
): Problem[] {
  const { facts } = server;
  const findings: Finding[] = [
    ...checkSystem(facts, release),
    ...checkEngine(server),
    ...checkNetworks(facts, network.clusterCidr),
    ...checkPorts(server, seat, network),
    ...checkExistingSpec(facts, network),
    ...checkRelease(facts, release),
    ...facts.obstacles,
  ];
  return findings.map((finding) => ({ server: server.config.name, ...finding }));
}

function checkSystem(facts: NodeFacts, release: ReleaseChoice): Finding[] {
  const findings: Finding[] = [];
  if (facts.systemd.state !== "found") {
    const why = facts.systemd.state === "unknown" ? ` (${facts.systemd.why})` : "";
    findings.push({
      code: "no-systemd",
      message: `${facts.os.prettyName || "its system"} does not run systemd${why}`,
      hint: "jiji's services need systemd; use a distribution that boots with it",
    });
  }
  if (facts.glibc.state === "absent") {
    findings.push({
      code: "no-glibc",
      message: `${facts.os.prettyName || "its system"} has no GNU C library (musl?)`,
      hint: "use a distribution with glibc, such as Debian, Ubuntu, Fedora, Rocky or openSUSE",
    });
  }
  const arch = parseArch(facts.arch);
  if (facts.glibc.state === "found" && arch !== undefined) {
    findings.push(...checkGlibc(arch, facts.glibc.value, release));
  }
  return findings;
}

function checkGlibc(arch: Arch, version: string, release: ReleaseChoice): Finding[] {
  const corrosion = release.corrosion?.byArch[arch];
  const needs = [
    ["jiji", release.jiji.byArch[arch].glibc],
    ...(corrosion === undefined ? [] : [["Corrosion", corrosion.glibc]]),
  ] as [string, string][];
  return needs
    .filter(([, needed]) => isOlderVersion(version, needed))
    .map(([program, needed]) => ({
      code: "glibc-too-old",
      message: `its glibc is ${version}; ${program} needs ${needed} or newer`,
      hint: "upgrade the distribution",
    }));
}

/**
 * The engine of this server: what the file says, else what it was set up with, else the one that is there. Undefined when
 * that leaves none or a choice.
 */
export function chooseEngine(server: ObservedServer): EngineKind | undefined {
  if (server.config.engine !== undefined) return server.config.engine;
  if (server.facts.spec.state === "found") return server.facts.spec.value.engine;
  const there = (["docker", "podman"] as const).filter((kind) => server.facts.engines[kind].state !== "absent");
  return there.length === 1 ? there[0] : undefined;
}

function checkEngine(server: ObservedServer): Finding[] {
  const { engines } = server.facts;
  const kind = chooseEngine(server);
  if (kind === undefined) {
    return engines.docker.state === "absent" && engines.podman.state === "absent"
      ? [{ code: "engine-missing", message: "neither Docker nor Podman is installed", hint: "install one of them" }]
      : [
          {
            code: "engine-ambiguous",
            message: "both Docker and Podman are installed",
            hint: `say which one with engine: docker or engine: podman under servers.${server.config.name}`,
          },
        ];
  }
  const name = kind === "docker" ? "Docker" : "Podman";
  const reading = engines[kind];
  if (reading.state === "absent") {
    return [
      {
        code: "engine-missing",
        message: `${name} is not installed`,
        hint: `install ${name}, or choose another engine`,
      },
    ];
  }
  if (reading.state === "unknown") {
    const hint = kind === "docker" ? "systemctl status docker" : "systemctl status podman.socket";
    return [{ code: "engine-unknown", message: `${name} does not answer: ${reading.why}`, hint }];
  }
  const findings: Finding[] = [];
  if (reading.value.netavark === false) {
    findings.push({
      code: "podman-without-netavark",
      message: "Podman uses CNI for its networks, not netavark",
      hint: 'install netavark and set network_backend = "netavark" in containers.conf',
    });
  }
  if (reading.value.rootless === true) {
    findings.push({
      code: "rootless",
      message: `${name} runs rootless, whose containers have no network of the server`,
      hint: `run ${name} as a system service`,
    });
  }
  return findings;
}

function checkNetworks(facts: NodeFacts, cluster: ClusterCidr): Finding[] {
  return facts.networks.flatMap(({ cidr, what }): Finding[] => {
    const network = parseCidr(cidr);
    if (network === undefined || network.endsWith("/0") || !cidrsOverlap(network, cluster)) return [];
    return [
      {
        code: "range-taken",
        message: `${cidr} is already in use by ${what}, which overlaps cluster_cidr ${cluster}`,
        hint: "choose another network.cluster_cidr",
      },
    ];
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
    const narrow = needed.on === "server" ? `, or let ${holder} listen on named addresses only` : "";
    return [
      {
        code: "port-taken",
        message: `port ${port}/${protocol} is taken by ${holder} (on ${address === "" ? "*" : address}); ${needed.what} needs it`,
        hint: `stop ${holder}${narrow}; ss -l${protocol[0]}np shows it`,
      },
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
  const differs = (what: string, here: string, file: string): void => {
    findings.push({
      code: "mesh-differs",
      message: `its mesh has ${what} ${here}, the file says ${file}`,
      hint: `${what} of a mesh cannot change while it stands: write ${here}, or tear it down and set it up anew`,
    });
  };
  if (cluster.cidr !== network.clusterCidr) differs("cluster_cidr", cluster.cidr, network.clusterCidr);
  if (cluster.mtuBytes !== network.mtuBytes) differs("mtu", `${cluster.mtuBytes}`, `${network.mtuBytes}`);
  if (store.kind !== network.store.kind) differs("store", store.kind, network.store.kind);
  return findings;
}

function checkRelease(facts: NodeFacts, release: ReleaseChoice): Finding[] {
  const installed = facts.release.jiji;
  if (installed.state !== "found" || !isOlderVersion(release.jiji.version, installed.value)) return [];
  return [
    {
      code: "newer-release",
      message: `it runs jiji ${installed.value}, this is ${release.jiji.version}; setup never goes back to an older release`,
      hint: `use jiji ${installed.value} or newer`,
    },
  ];
}
