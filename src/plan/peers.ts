import type { Endpoint } from "../model/address.ts";
import { parseSubnetNumber, subnetOf, type Cidr } from "../model/cluster.ts";
import type { WireGuardPublicKey } from "../model/keys.ts";
import type { DnsLabel } from "../model/names.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import type { Member } from "../model/server-record.ts";

/** Keeps a NAT's mapping open; most forget a quiet UDP flow after 30 s. */
const NAT_KEEPALIVE_SECONDS = 25;

/** A member as this server's WireGuard should know it. */
export interface DesiredPeer {
  readonly name: DnsLabel;
  readonly publicKey: WireGuardPublicKey;
  /** where it can be called, best first; empty: it calls us */
  readonly endpoints: readonly Endpoint[];
  /** its /24, with its .1 inside */
  readonly allowedIps: Cidr;
  /** 0: off */
  readonly keepaliveSeconds: number;
}

/**
 * The peers of one server, in order of subnet number: every other member whose number lies in the cluster.
 *
 * Only a server behind NAT sends keepalives, since only its side has a mapping to keep; the other side cannot call it
 * before it was called, and needs none after. Of two members with one number or one key the first counts: a second
 * would silently take the first one's addresses away.
 */
export function desiredPeers(spec: NodeSpec, members: readonly Member[]): readonly DesiredPeer[] {
  const taken = new Set<number | string>([spec.subnet]);
  const peers: DesiredPeer[] = [];
  for (const member of members.toSorted((a, b) => a.subnet - b.subnet)) {
    const subnet = parseSubnetNumber(spec.cluster.cidr, member.subnet);
    if (subnet === undefined || taken.has(subnet) || taken.has(member.publicKey)) continue;
    taken.add(subnet).add(member.publicKey);
    peers.push({
      name: member.name,
      publicKey: member.publicKey,
      endpoints: member.nat ? [] : member.endpoints,
      allowedIps: subnetOf(spec.cluster.cidr, subnet),
      keepaliveSeconds: spec.nat ? NAT_KEEPALIVE_SECONDS : 0,
    });
  }
  return peers;
}
