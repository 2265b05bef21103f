import { finding, type Finding } from "../finding.ts";
import { PATHS } from "../paths.ts";
import type { Reading } from "../reading.ts";
import { UNITS } from "../units.ts";
import { STALE_HANDSHAKE_SECONDS, type NodeStatus, type PeerStatus } from "./status.ts";

/** A member that the server should have a tunnel to. */
export interface ExpectedPeer {
  readonly id: string;
  readonly name: string;
  /** it is behind NAT, has not called, and cannot be called: no handshake is no trouble */
  readonly mayBeSilent?: boolean;
}

/** What is not well on a server. `membersFile`: its members.json. */
export function judgeStatus(
  status: Omit<NodeStatus, "findings">,
  membersFile: Reading<unknown>,
  peers: readonly ExpectedPeer[],
): Finding[] {
  const { units, store, agent, engine } = status;
  const isBad = ([unit, state]: readonly [string, string]): boolean =>
    state !== "active" && !(unit === UNITS.firewall && state === "inactive");
  return [
    ...Object.entries(units)
      .filter(isBad)
      .map(([unit, state]) => finding("unit-down", { unit, state })),
    ...(membersFile.state === "unknown"
      ? [finding("unreadable", { file: PATHS.members, evidence: membersFile.why })]
      : []),
    ...judgeConnections(status, peers),
    ...(store.state === "found" ? [] : [finding("store-silent", { evidence: whyNot(store) })]),
    ...(agent.state === "found" ? [] : [finding("agent-silent", { evidence: whyNot(agent) })]),
    ...(agent.state === "found" && !agent.value.ready ? [finding("agent-starting")] : []),
    ...(engine.state === "found"
      ? []
      : [finding("engine-silent", { engine: "the container engine", evidence: whyNot(engine) })]),
  ];
}

/** The part of it that setup waits for: the tunnel, its peers, and the answers of jiji-dns. */
export function judgeConnections(
  { wireguard, dns }: Pick<NodeStatus, "wireguard" | "dns">,
  peers: readonly ExpectedPeer[],
): Finding[] {
  return [...judgeTunnel(wireguard, peers), ...judgeDns(dns)];
}

function judgeTunnel(wireguard: NodeStatus["wireguard"], peers: readonly ExpectedPeer[]): Finding[] {
  if (wireguard.state === "absent") return [finding("tunnel-down")];
  if (wireguard.state === "unknown") return [finding("unseen", { thing: "WireGuard", evidence: wireguard.why })];
  return peers.flatMap((expected) => {
    const peer = wireguard.value.peers.find(({ id }) => id === expected.id);
    return judgePeer(expected, peer);
  });
}

function judgePeer({ name, mayBeSilent }: ExpectedPeer, peer: PeerStatus | undefined): Finding[] {
  const seconds = peer?.handshakeAgeSeconds ?? null;
  if (seconds === null) return mayBeSilent === true ? [] : [finding("no-handshake", { peer: name })];
  if (peer?.fullSizePacket === false) return [finding("full-size-lost", { peer: name })];
  if (seconds <= STALE_HANDSHAKE_SECONDS || peer?.fullSizePacket === true) return [];
  return [finding("handshake-old", { peer: name, seconds })];
}

function judgeDns(dns: NodeStatus["dns"]): Finding[] {
  if (dns.state !== "found") return [finding("dns-silent", { transport: "UDP or TCP", evidence: whyNot(dns) })];
  if (dns.value.udp && dns.value.tcp) return [];
  return [finding("dns-silent", { transport: dns.value.udp ? "TCP" : "UDP" })];
}

function whyNot(reading: Reading<unknown>): string | undefined {
  return reading.state === "unknown" ? reading.why : undefined;
}
