import type { NodeStatus } from "../../model/node-protocol.ts";

/** A peer is asked for a new handshake every 2 minutes while packets flow; after this long the tunnel does not work. */
export const STALE_HANDSHAKE_SECONDS = 300;

/** What is not well on a server, for people: its own list, and what its figures say when that list is empty. */
export function findAilments(status: NodeStatus): readonly string[] {
  if (status.problems.length > 0) return status.problems;
  const ailments: string[] = [];
  if (status.wireguard.state === "absent") ailments.push("WireGuard is not up");
  if (status.wireguard.state === "unknown") ailments.push(`WireGuard: ${status.wireguard.why}`);
  if (status.wireguard.state === "found") {
    for (const { name, handshakeAgeSeconds } of status.wireguard.value.peers) {
      if (handshakeAgeSeconds === null) ailments.push(`no handshake with ${name}`);
      else if (handshakeAgeSeconds > STALE_HANDSHAKE_SECONDS) ailments.push(`the last handshake with ${name} is old`);
    }
  }
  if (status.store.state !== "found") ailments.push(`store: ${why(status.store, "not running")}`);
  if (status.dns.state !== "found") ailments.push(`jiji-dns: ${why(status.dns, "no answer")}`);
  else if (!status.dns.value.udp || !status.dns.value.tcp) {
    ailments.push(`jiji-dns does not answer over ${status.dns.value.udp ? "TCP" : "UDP"}`);
  }
  if (status.agent.state !== "found") ailments.push(`jiji-agent: ${why(status.agent, "not running")}`);
  if (status.engine.state !== "found") ailments.push(`container engine: ${why(status.engine, "not found")}`);
  const failed = Object.entries(status.units).filter(([, state]) => state === "failed");
  return [...ailments, ...failed.map(([unit]) => `${unit} has failed`)];
}

function why(reading: { readonly state: string; readonly why?: string }, absent: string): string {
  return reading.state === "unknown" ? (reading.why ?? "unknown") : absent;
}
