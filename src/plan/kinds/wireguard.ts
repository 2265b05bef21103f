import type { Endpoint, Ipv4 } from "../../model/address.ts";
import { serverAddress, type Cidr } from "../../model/cluster.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { PATHS } from "../../model/paths.ts";
import { INTERFACE, PORTS } from "../../model/ports.ts";
import { known, type Reading } from "../../model/reading.ts";
import { UNITS } from "../../model/units.ts";
import { renderWireguardConfig } from "../../render/wireguard-config.ts";
import type { JoinGoal, NodeGoal } from "../goal.ts";
import { planManagedFile, planRestores, type DesiredFile, type Steps, type SeenFile } from "../managed-file.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import { desiredPeers, type DesiredPeer } from "../peers.ts";
import { stepsOf, type Step } from "../step.ts";
import type { UnitState } from "./unit.ts";

export const WIREGUARD_KIND = "wireguard";

/**
 * An endpoint whose peer has spoken within this time works, whatever address it is (it may have roamed). WireGuard
 * renews a handshake in use every 120 s and forgets it after 180 s.
 */
const HANDSHAKE_FRESH_SECONDS = 180;

export interface ObservedPeer {
  /** as the kernel has it, base64 */
  readonly publicKey: string;
  readonly endpoint: Endpoint | null;
  /** canonical texts, any order */
  readonly allowedIps: readonly string[];
  readonly keepaliveSeconds: number;
  /** null: never */
  readonly handshakeAgeSeconds: number | null;
}

export interface ObservedTunnel {
  readonly publicKey: string | null;
  readonly listenPort: number;
  readonly mtuBytes: number;
  /** IPv4 addresses with prefix, e.g. 10.210.0.1/32 */
  readonly addresses: readonly string[];
  readonly up: boolean;
  readonly peers: readonly ObservedPeer[];
}

export interface WireguardObserved {
  /** the public half of the key that stands on this server */
  readonly key: Reading<WireGuardPublicKey>;
  readonly config: SeenFile;
  readonly unit: Reading<UnitState>;
  readonly tunnel: Reading<ObservedTunnel>;
}

/** The changes of one peer; an absent field stays as it is. */
export interface PeerChange {
  readonly publicKey: WireGuardPublicKey;
  readonly endpoint?: Endpoint;
  readonly allowedIps?: Cidr;
  readonly keepaliveSeconds?: number;
}

export type WireguardAction =
  | { readonly op: "start" }
  | { readonly op: "set-key" }
  | { readonly op: "set-port" }
  | { readonly op: "set-link"; readonly mtuBytes: number }
  | { readonly op: "set-address"; readonly address: Ipv4 }
  | { readonly op: "set-peer"; readonly change: PeerChange }
  /** a peer to come: only shown, never executed, as its key is not made yet */
  | { readonly op: "await-peer" }
  | { readonly op: "stop" };

type WireguardStep = Step<WireguardAction>;

const step = stepsOf<WireguardAction>(WIREGUARD_KIND);

/** Live peers are changed one by one, and only where they differ; none is ever removed. The key was made with the identity. */
export function planWireguard(goal: NodeGoal, observed: WireguardObserved, manifest: Manifest): Steps<WireguardAction> {
  if (goal.phase === "teardown") return planTeardown(observed, manifest);
  return goal.phase === "prepare" ? [] : planJoin(goal, observed);
}

function planJoin(goal: JoinGoal, observed: WireguardObserved): Steps<WireguardAction> {
  const { spec } = goal;
  const peers = desiredPeers(spec, goal.members);
  const address = serverAddress(spec.cluster.cidr, spec.subnet);
  const tunnel = known(observed.tunnel, INTERFACE);
  const unit = known(observed.unit, UNITS.tunnel);
  const file = planManagedFile(WIREGUARD_KIND, wireguardConfigFile(goal), observed.config);
  const steps: WireguardStep[] = [];
  for (const { name } of goal.expected) {
    steps.push(step("create", name, `add peer ${name} (key: made on the server)`, { op: "await-peer" }));
  }
  if (tunnel === undefined || unit?.enabled !== true) {
    const summary = tunnel === undefined ? `bring up ${INTERFACE} with ${address}` : `bring ${INTERFACE} up at boot`;
    const verb = tunnel === undefined ? "start" : "enable";
    steps.push(step(verb, UNITS.tunnel, summary, { op: "start" }));
  }
  if (tunnel === undefined) return [...file, ...steps];
  const own = observed.key.state === "found" ? observed.key.value : null;
  return [
    ...file,
    ...steps,
    ...planInterface(tunnel, { address, mtuBytes: spec.cluster.mtuBytes, publicKey: own }),
    ...planPeers(peers, tunnel),
  ];
}

/** jiji0.conf as it should be. */
export function wireguardConfigFile({ spec, members }: JoinGoal): DesiredFile {
  const content = renderWireguardConfig({
    address: serverAddress(spec.cluster.cidr, spec.subnet),
    mtuBytes: spec.cluster.mtuBytes,
    peers: desiredPeers(spec, members),
  });
  return { path: PATHS.wireguardConfig, content, mode: 0o600 };
}

function planInterface(
  tunnel: ObservedTunnel,
  desired: { readonly address: Ipv4; readonly mtuBytes: number; readonly publicKey: string | null },
): readonly WireguardStep[] {
  const { address, mtuBytes, publicKey } = desired;
  const steps: WireguardStep[] = [];
  const change = (summary: string, action: WireguardAction): void => {
    steps.push(step("change", INTERFACE, summary, action));
  };
  if (publicKey !== null && tunnel.publicKey !== publicKey) {
    change(`give ${INTERFACE} the key of ${PATHS.wireguardKey}`, { op: "set-key" });
  }
  if (tunnel.listenPort !== PORTS.wireguard) {
    change(`listen on ${PORTS.wireguard} instead of ${tunnel.listenPort}`, { op: "set-port" });
  }
  if (tunnel.mtuBytes !== mtuBytes || !tunnel.up) {
    change(`set ${INTERFACE} up with an MTU of ${mtuBytes}`, { op: "set-link", mtuBytes });
  }
  if (!tunnel.addresses.includes(`${address}/32`)) {
    change(`give ${INTERFACE} the address ${address}`, { op: "set-address", address });
  }
  return steps;
}

/** The changes of the running tunnel's peers, and of nothing else. */
export function planPeers(peers: readonly DesiredPeer[], tunnel: ObservedTunnel): readonly WireguardStep[] {
  return peers.flatMap((peer) => planPeer(peer, tunnel));
}

function planPeer(peer: DesiredPeer, tunnel: ObservedTunnel): readonly WireguardStep[] {
  const live = tunnel.peers.find((each) => each.publicKey === peer.publicKey);
  const difference = peerDifference(peer, live);
  const changed = Object.keys(difference);
  if (live !== undefined && changed.length === 0) return [];
  const summary =
    live === undefined ? `add peer ${peer.name}, ${peer.allowedIps}` : `peer ${peer.name}: ${changed.join(", ")}`;
  return [
    step(live === undefined ? "create" : "change", peer.name, summary, {
      op: "set-peer",
      change: { publicKey: peer.publicKey, ...difference },
    }),
  ];
}

/**
 * How a live peer differs from the desired one. Allowed IPs are named only when they differ, since setting the same ones again
 * drops packets. A working endpoint is left alone, wherever it leads.
 */
function peerDifference(peer: DesiredPeer, live: ObservedPeer | undefined): Omit<PeerChange, "publicKey"> {
  const sameAddresses = live?.allowedIps.length === 1 && live.allowedIps[0] === peer.allowedIps;
  const [endpoint] = peer.endpoints;
  return {
    ...(endpoint !== undefined && needsEndpoint(peer, live) ? { endpoint } : {}),
    ...(sameAddresses ? {} : { allowedIps: peer.allowedIps }),
    ...((live?.keepaliveSeconds ?? 0) === peer.keepaliveSeconds ? {} : { keepaliveSeconds: peer.keepaliveSeconds }),
  };
}

function needsEndpoint(peer: DesiredPeer, live: ObservedPeer | undefined): boolean {
  if (live === undefined || live.endpoint === null) return true;
  if (peer.endpoints.includes(live.endpoint)) return false;
  return live.handshakeAgeSeconds === null || live.handshakeAgeSeconds > HANDSHAKE_FRESH_SECONDS;
}

function planTeardown(observed: WireguardObserved, manifest: Manifest): Steps<WireguardAction> {
  const files = planRestores(WIREGUARD_KIND, manifest);
  if (manifestEntry(manifest, WIREGUARD_KIND, UNITS.tunnel) === undefined) return files;
  known(observed.tunnel, INTERFACE);
  return [step("stop", UNITS.tunnel, `take ${INTERFACE} down`, { op: "stop" }), ...files];
}

/** Names peers that are no members: they are left alone. */
export function wireguardNotes(goal: NodeGoal, observed: WireguardObserved): readonly string[] {
  if (goal.phase !== "join" || observed.tunnel.state !== "found") return [];
  const named = new Set<string>(desiredPeers(goal.spec, goal.members).map((peer) => peer.publicKey));
  return observed.tunnel.value.peers
    .filter((peer) => !named.has(peer.publicKey))
    .map(
      ({ publicKey, allowedIps }) =>
        `${INTERFACE} has a peer ${publicKey} (${allowedIps.join(", ") || "no addresses"}) that is no member; it was left as it is`,
    );
}
