import { STALE_HANDSHAKE_SECONDS, type NodeStatus, type PeerStatus } from "../model/node/status.ts";
import type { Reading } from "../model/reading.ts";
import type { Member } from "../model/server-record.ts";
import { UNITS } from "../model/units.ts";

/**
 * What is not well on this server, for people; the only place where that is judged. `peers`: the members that it should
 * have a tunnel to; one behind NAT that has not called, and cannot be called, is no trouble.
 */
export function findProblems(
  status: Omit<NodeStatus, "problems" | "notes">,
  membersFile: Reading<unknown>,
  peers: readonly Member[],
): readonly string[] {
  const problems: string[] = [];
  const isBad = (unit: string, state: string): boolean =>
    state !== "active" && !(unit === UNITS.firewall && state === "inactive");
  for (const [unit, state] of Object.entries(status.units))
    if (isBad(unit, state)) problems.push(`${unit} is ${state}`);
  if (membersFile.state === "unknown") problems.push(membersFile.why);
  if (status.wireguard.state === "absent") problems.push("WireGuard is not up");
  if (status.wireguard.state === "unknown") problems.push(`WireGuard: ${status.wireguard.why}`);
  if (status.wireguard.state === "found") {
    for (const peer of status.wireguard.value.peers) {
      const member = peers.find(({ id }) => id === peer.id);
      problems.push(...peerProblems(peer, member?.nat === true && peer.endpoint === null));
    }
  }
  if (status.store.state !== "found") problems.push(`store: ${whyNot(status.store)}`);
  if (status.dns.state !== "found") problems.push(`jiji-dns: ${whyNot(status.dns)}`);
  else if (!status.dns.value.udp) problems.push("jiji-dns does not answer over UDP");
  else if (!status.dns.value.tcp) problems.push("jiji-dns does not answer over TCP");
  if (status.agent.state !== "found") problems.push(`jiji-agent: ${whyNot(status.agent)}`);
  else if (!status.agent.value.ready) problems.push("jiji-agent has not yet compared the store with the engine");
  if (status.engine.state !== "found") problems.push(`container engine: ${whyNot(status.engine)}`);
  return problems;
}

function peerProblems(peer: PeerStatus, mayBeSilent: boolean): readonly string[] {
  if (peer.fullSizePacket === false) return [`no full-size packet reaches ${peer.name}`];
  if (peer.handshakeAgeSeconds === null) return mayBeSilent ? [] : [`no handshake with ${peer.name} yet`];
  if (peer.handshakeAgeSeconds <= STALE_HANDSHAKE_SECONDS || peer.fullSizePacket === true) return [];
  return [`the last handshake with ${peer.name} is ${peer.handshakeAgeSeconds} s old`];
}

/** Why a thing that should be there is not, in a few words. */
export function whyNot(reading: Reading<unknown>): string {
  return reading.state === "unknown" ? reading.why : "not there";
}
