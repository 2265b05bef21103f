import { messageOf } from "../model/errors.ts";
import { canFilterFrames, observeTables } from "../apply/firewall-live.ts";
import { observeTunnel } from "../apply/wireguard-tunnel.ts";
import { loadIdentity } from "../apply/kinds/identity.ts";
import { loadMembers } from "../apply/members-file.ts";
import { verifiedMembers } from "../model/membership.ts";
import { openEngine } from "../engine/open.ts";
import type { Engine } from "../engine/engine.ts";
import { serverAddress } from "../model/cluster.ts";
import { finding, type Finding } from "../model/finding.ts";
import type { NodeStatus } from "../model/node/status.ts";
import { judgeStatus } from "../model/node/status-findings.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { ENGINE_NETWORK, PORTS } from "../model/ports.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import type { Member } from "../model/server-record.ts";
import { UNITS } from "../model/units.ts";
import { VERSION } from "../model/version.ts";
import type { StoreClient } from "../store/store.ts";
import { readAgentState } from "../system/agent-client.ts";
import { askForSoa } from "../system/dns-client.ts";
import type { Host } from "../system/host.ts";
import { readSpec } from "./own-files.ts";
import { findOwnStore, openOwnStore } from "./own-store.ts";
import type { Call } from "./call.ts";
import { probePeers, type PeerProbe } from "./peer-probe.ts";

/** What of a server is asked over sockets rather than through {@link Host}; tests give others. */
export interface StatusSources {
  openEngine(spec: NodeSpec): Engine;
  store(host: Host, spec: NodeSpec): Promise<NodeStatus["store"]>;
  dns(spec: NodeSpec): Promise<NodeStatus["dns"]>;
  agent(): Promise<NodeStatus["agent"]>;
}

const ANSWER_MS = 2000;

const SOURCES: StatusSources = {
  openEngine: (spec) => openEngine(spec.engine),
  store: readStore,
  dns: askDns,
  agent: async () => {
    const state = await readAgentState(PATHS.agentSocket, ANSWER_MS);
    return state.state === "found" ? found({ ready: state.value.ready }) : state;
  },
};

/** `jiji node status`. Never writes. */
export async function runNodeStatus(
  { probe }: CheckedRequestOf<"status">,
  { host, say }: Call<"status">,
  sources: StatusSources = SOURCES,
): Promise<void> {
  say(await nodeStatus(host, sources, probe));
}

async function nodeStatus(host: Host, sources: StatusSources, probe: boolean): Promise<NodeStatus> {
  const [withKey, spec] = [await loadIdentity(host.files), await readSpec(host.files)];
  const identity = withKey.state === "found" ? found(withKey.value.identity) : withKey;
  const membersFile = await loadMembers(host.files);
  const members = membersFile.state === "found" ? verifiedMembers(membersFile.value) : [];
  const firstSeen = membersFile.state === "found" ? (membersFile.value.firstSeenMs ?? {}) : {};
  const here = {
    identity,
    version: VERSION,
    members: members.map(({ id, name, subnet }) => ({ id, name, subnet, firstSeenMs: firstSeen[id] ?? null })),
  };
  const units = await unitStates(host, spec);
  if (spec.state !== "found") {
    const nothing = spec.state === "absent" ? ABSENT : spec;
    const rest = { wireguard: nothing, store: nothing, dns: nothing, agent: nothing, engine: nothing };
    const unset =
      spec.state === "absent" ? finding("not-set-up") : finding("unreadable", { file: PATHS.spec, evidence: spec.why });
    return { ...here, ...rest, containers: nothing, units, findings: [unset] };
  }
  const engine = sources.openEngine(spec.value);
  const peers = members.filter(({ subnet }) => subnet !== spec.value.subnet);
  const [wireguard, store, dns, agent, version, containers, filters, hosted] = await Promise.all([
    readTunnel(host, spec.value, peers, probe),
    sources.store(host, spec.value).then((reading) => namingHolder(reading, spec.value, members)),
    sources.dns(spec.value),
    sources.agent(),
    engine.version(),
    countContainers(engine),
    judgeFilters(host),
    engine.onHostNetwork(),
  ]);
  const engineStatus = version.state === "found" ? found({ kind: spec.value.engine, version: version.value }) : version;
  const status = { ...here, wireguard, units, store, dns, agent, engine: engineStatus, containers };
  const expected = peers.map(({ id, name, nat }) => {
    const tunnels = wireguard.state === "found" ? wireguard.value.peers : [];
    return { id, name, mayBeSilent: nat && tunnels.find((peer) => peer.id === id)?.endpoint === null };
  });
  return { ...status, findings: [...judgeStatus(status, membersFile, expected), ...filters, ...judgeHosted(hosted)] };
}

async function unitStates(host: Host, spec: Reading<NodeSpec>): Promise<NodeStatus["units"]> {
  const store = spec.state === "found" ? findOwnStore(spec.value) : undefined;
  const storeUnits = store !== undefined && "unit" in store ? [store.unit] : [];
  const units = [UNITS.firewall, UNITS.tunnel, ...storeUnits, UNITS.agent, UNITS.dnsSocket, UNITS.dns];
  const result = await host.programs.run(["systemctl", "is-active", ...units]);
  const states = result.stdout.trim().split("\n");
  return Object.fromEntries(units.map((unit, index) => [unit, states[index] ?? "unknown"]));
}

async function readTunnel(
  host: Host,
  spec: NodeSpec,
  members: readonly Member[],
  probe: boolean,
): Promise<NodeStatus["wireguard"]> {
  const tunnel = await observeTunnel(host);
  if (tunnel.state !== "found") return tunnel;
  const probes: ReadonlyMap<string, PeerProbe> = probe ? await probePeers(host, spec, members) : new Map();
  const traffic = await readTraffic(host);
  const peers = members.map((member) => {
    const live = tunnel.value.peers.find(({ publicKey }) => publicKey === member.publicKey);
    const [receivedBytes, sentBytes] = traffic.get(member.publicKey) ?? [0, 0];
    return {
      id: member.id,
      name: member.name,
      endpoint: live?.endpoint ?? null,
      handshakeAgeSeconds: live?.handshakeAgeSeconds ?? null,
      receivedBytes,
      sentBytes,
      ...probes.get(member.id),
    };
  });
  return found({ peers });
}

/** `wg show jiji0 transfer`: key, received and sent bytes per line. */
async function readTraffic(host: Host): Promise<ReadonlyMap<string, readonly [number, number]>> {
  const { stdout } = await host.programs.run(["wg", "show", "jiji0", "transfer"]);
  return new Map(
    stdout
      .split("\n")
      .map((line) => line.split("\t"))
      .filter((fields) => fields.length === 3)
      .map(([key = "", received, sent]) => [key, [Number(received), Number(sent)]]),
  );
}

/** The number of rows in the store, and the size of its file if that is on this server. */
async function readStore(host: Host, spec: NodeSpec): Promise<NodeStatus["store"]> {
  let client: StoreClient | undefined;
  try {
    client = await openOwnStore(host.files, spec);
    const sql = "SELECT (SELECT count(*) FROM servers) + (SELECT count(*) FROM containers WHERE record <> '')";
    const { rows } = await client.query({ sql }, { signal: AbortSignal.timeout(ANSWER_MS * 2) });
    const own = findOwnStore(spec);
    const file = "path" in own ? await host.files.stat(own.path) : ABSENT;
    const sizeBytes = file.state === "found" ? file.value.sizeBytes : null;
    return found({ kind: spec.store.kind, rows: Number(rows[0]?.[0] ?? 0), sizeBytes });
  } catch (error) {
    return unknown(messageOf(error));
  } finally {
    client?.close();
  }
}

function judgeHosted(names: Reading<readonly string[]>): Finding[] {
  if (names.state !== "found" || names.value.length === 0) return [];
  return [finding("host-network", { containers: names.value.join(", ") })];
}

/** Whether the tables that guard this server are loaded. Somebody may flush them while every unit stays active. */
async function judgeFilters(host: Host): Promise<Finding[]> {
  const tables = await observeTables(host);
  if (tables.state !== "found") {
    const evidence = tables.state === "unknown" ? tables.why : undefined;
    return [finding("unseen", { thing: "the packet filter", evidence })];
  }
  const missing = tables.value.has("inet") ? [] : [finding("filter-missing")];
  if (tables.value.has("bridge")) return missing;
  const canFilter = (await canFilterFrames(host)) !== false;
  return [...missing, finding(canFilter ? "frame-filter-missing" : "frames-unfiltered")];
}

/** An embedded store that does not answer is the holder's problem: names the holder. */
function namingHolder(
  reading: NodeStatus["store"],
  { store, subnet }: NodeSpec,
  members: readonly Member[],
): NodeStatus["store"] {
  if (reading.state !== "unknown" || store.kind !== "embedded" || store.holder === subnet) return reading;
  const holder = members.find((member) => member.subnet === store.holder)?.name ?? `number ${store.holder}`;
  return unknown(`the records are kept on ${holder}, which does not answer (${reading.why})`);
}

async function askDns(spec: NodeSpec): Promise<NodeStatus["dns"]> {
  const server = { address: serverAddress(spec.cluster.cidr, spec.subnet), port: PORTS.dns };
  const [udp, tcp] = await Promise.all([askForSoa(server, "udp", ANSWER_MS), askForSoa(server, "tcp", ANSWER_MS)]);
  if (udp === undefined && tcp === undefined) return unknown(`no answer from ${server.address}:${server.port}`);
  const latencyMs = Math.round((udp ?? tcp ?? 0) * 100) / 100;
  return found({ udp: udp !== undefined, tcp: tcp !== undefined, latencyMs });
}

async function countContainers(engine: Engine): Promise<NodeStatus["containers"]> {
  const containers = await engine.containers(ENGINE_NETWORK);
  if (containers.state !== "found") return containers;
  const counts: Record<string, number> = {};
  for (const { state } of containers.value) counts[state] = (counts[state] ?? 0) + 1;
  return found(counts);
}
