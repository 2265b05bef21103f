import type { Ipv4 } from "../model/address.ts";
import type { Cidr, ClusterCidr } from "../model/cluster.ts";
import { formatPortRanges, rangesOfPorts } from "../model/port-ranges.ts";
import { BRIDGE, INTERFACE, PORTS, TRUSTING_PORTS } from "../model/ports.ts";

/** The name of our own nftables table, family inet. */
export const FILTER_TABLE = "jiji";

export interface PacketFilter {
  readonly cluster: ClusterCidr;
  /** this server's /24 */
  readonly own: Cidr;
  /** this server's .1 */
  readonly address: Ipv4;
  /** the user that may speak Corrosion's gossip; null where there is no Corrosion: then only root */
  readonly gossipUser: "jiji-corrosion" | null;
  /** whether this server holds an embedded store for the others */
  readonly holdsStore: boolean;
}

/** Names that Docker and Podman give to the bridges of their networks. */
const ENGINE_BRIDGES = ["docker*", "br-*", "podman*"] as const;

/**
 * /opt/jiji/firewall/rules.nft for `nft -f`: replaces the whole of our own table in one transaction and touches no
 * other. It depends only on the cluster and on this server's number, not on the members: WireGuard lets a peer send from
 * its own /24 alone, so a packet from .1 that comes out of the tunnel is from that member's server.
 *
 * Every rule judges the packet by its own fields; connection tracking is trusted only for replies. So a connection that was
 * opened while the table was missing is cut as soon as the table is back.
 */
export function renderPacketFilter(filter: PacketFilter): string {
  return `#!/usr/sbin/nft -f
# Written by jiji; changes are lost.
table inet ${FILTER_TABLE}
delete table inet ${FILTER_TABLE}
table inet ${FILTER_TABLE} {
${[
  arriving(filter),
  forHost(filter),
  passing(filter),
  leaving(filter),
  afterTranslation(filter),
  ownAddresses(filter),
  segmentSize(),
]
  .join("\n\n")
  .replaceAll(/^(?=.)/gm, "\t")}
}
`;
}

/** Ports as nft's `dport` and `sport` take them: one, a range, or a set of both. */
function portSet(ports: readonly number[]): string {
  const list = formatPortRanges(rangesOfPorts(ports));
  return list.includes(",") ? `{ ${list} }` : list;
}

const CLOSED_PORTS = portSet(TRUSTING_PORTS);

function chain(name: string, lines: readonly string[]): string {
  return [`chain ${name} {`, ...lines.map((line) => `\t${line}`), "}"].join("\n");
}

function base(type: "filter" | "nat", hook: string, priority: string): string {
  return `type ${type} hook ${hook} priority ${priority}; policy accept;`;
}

/** Before connection tracking: only the tunnel and the bridge carry packets from or to the cluster. */
function arriving({ cluster, own, address }: PacketFilter): string {
  return chain("arriving", [
    base("filter", "prerouting", "raw"),
    `iifname "lo" accept`,
    `iifname "${INTERFACE}" meta nfproto ipv6 drop`,
    `iifname "${INTERFACE}" ip saddr != ${cluster} drop`,
    `iifname "${INTERFACE}" ip saddr ${own} drop`,
    `iifname "${INTERFACE}" accept`,
    `iifname "${BRIDGE}" ip saddr ${address} drop`,
    `iifname "${BRIDGE}" ip saddr ${cluster} ip saddr != ${own} drop`,
    `iifname "${BRIDGE}" accept`,
    `ip saddr ${cluster} drop`,
    ...ENGINE_BRIDGES.map((name) => `iifname "${name}" ip daddr ${address} accept`),
    `ip daddr ${cluster} drop`,
  ]);
}

function forHost({ address, holdsStore }: PacketFilter): string {
  const open = [
    "meta l4proto icmp accept",
    `meta l4proto { tcp, udp } th dport ${PORTS.dns} accept`,
    `tcp dport ${PORTS.metrics} accept`,
  ];
  return [
    chain("input", [
      base("filter", "input", "filter - 10"),
      `iifname "lo" accept`,
      `iifname "${INTERFACE}" goto from_tunnel`,
      `ip daddr ${address} goto from_bridges`,
    ]),
    chain("from_tunnel", [
      `ip daddr != ${address} drop`,
      `meta l4proto { tcp, udp } th dport ${CLOSED_PORTS} ip saddr & 0.0.0.255 != 0.0.0.1 drop`,
      `meta l4proto { tcp, udp } th dport { ${PORTS.gossip}, ${PORTS.agent} } accept`,
      ...(holdsStore ? [`tcp dport ${PORTS.embeddedStore} accept`] : []),
      `meta l4proto { tcp, udp } th dport ${CLOSED_PORTS} drop`,
      "ct state established,related ct direction reply accept",
      ...open,
      "drop",
    ]),
    chain("from_bridges", [
      `meta l4proto { tcp, udp } th dport ${CLOSED_PORTS} drop`,
      `iifname "${BRIDGE}" accept`,
      "ct state established,related ct direction reply accept",
      ...open,
      "drop",
    ]),
  ].join("\n\n");
}

function passing({ cluster, own, address }: PacketFilter): string {
  return [
    chain("forward", [
      base("filter", "forward", "filter - 10"),
      `ip daddr ${cluster} oifname != { "${INTERFACE}", "${BRIDGE}" } drop`,
      `ip daddr ${cluster} ip daddr & 0.0.0.255 == 0.0.0.1 jump to_server`,
      `oifname "${INTERFACE}" goto into_tunnel`,
      `oifname "${BRIDGE}" goto into_bridge`,
      `iifname "${INTERFACE}" drop`,
    ]),
    // a server may connect to a peer's container, so replies pass; a container itself may connect only to the open ports
    chain("to_server", [
      `meta l4proto { tcp, udp } th dport ${CLOSED_PORTS} drop`,
      "meta l4proto icmp return",
      `meta l4proto { tcp, udp } th dport ${PORTS.dns} return`,
      `tcp dport ${PORTS.metrics} return`,
      "ct state established,related ct direction reply return",
      "drop",
    ]),
    chain("into_tunnel", [
      "meta nfproto ipv6 drop",
      `iifname != "${BRIDGE}" drop`,
      `ip saddr != ${own} drop`,
      `ip saddr ${address} drop`,
      `ip daddr != ${cluster} drop`,
    ]),
    chain("into_bridge", [
      `iifname "${BRIDGE}" accept`,
      `iifname "${INTERFACE}" ip saddr ${cluster} accept`,
      `iifname "${INTERFACE}" drop`,
      "ct status dnat accept",
      "ct state established,related ct direction reply accept",
      "drop",
    ]),
  ].join("\n\n");
}

/** Local users may not speak for the server, and nothing for the cluster leaves by another interface. */
function leaving({ cluster, address, gossipUser }: PacketFilter): string {
  const gossip = gossipUser === null ? "root" : `"${gossipUser}"`;
  const only = (direction: "dport" | "sport", ports: string, user: string): string =>
    `meta l4proto { tcp, udp } th ${direction} ${ports} meta skuid != ${user} drop`;
  return [
    chain("output", [
      base("filter", "output", "filter - 10"),
      `ip daddr ${cluster} oifname != { "${INTERFACE}", "${BRIDGE}", "lo" } drop`,
      `ip daddr ${cluster} ip daddr & 0.0.0.255 == 0.0.0.1 jump as_server`,
      `ip saddr ${address} ${only("sport", String(PORTS.gossip), gossip)}`,
      `ip saddr ${address} ${only("sport", String(PORTS.agent), "root")}`,
    ]),
    chain("as_server", [
      only("dport", String(PORTS.gossip), gossip),
      only("dport", portSet([PORTS.agent, PORTS.embeddedStore]), "root"),
    ]),
  ].join("\n\n");
}

/** Packets that an engine should have masqueraded and did not (while it restarts, say) do not leave. */
function afterTranslation({ cluster }: PacketFilter): string {
  return chain("leaving", [
    base("filter", "postrouting", "srcnat + 10"),
    `oifname { "${INTERFACE}", "${BRIDGE}", "lo" } accept`,
    ...ENGINE_BRIDGES.map((name) => `oifname "${name}" accept`),
    `ip saddr ${cluster} drop`,
    `ip daddr ${cluster} drop`,
  ]);
}

/**
 * Peers see containers' own addresses: a translation to the same address, before the engines' masquerade, makes the
 * connection count as translated, so theirs leaves it alone. A plain accept would not stop their chains. The same holds for
 * what the server asks itself over lo: Docker's masquerade would give it the public address.
 */
function ownAddresses({ cluster, own }: PacketFilter): string {
  return chain("own_addresses", [
    base("nat", "postrouting", "srcnat - 10"),
    `ip saddr ${own} ip daddr ${cluster} oifname { "${INTERFACE}", "lo" } snat ip prefix to ip saddr map { ${own} : ${own} }`,
  ]);
}

/** Clamps TCP's segment size to the path, which may be smaller than the tunnel, or than the container's network. */
function segmentSize(): string {
  return chain("segment_size", [
    base("filter", "forward", "mangle"),
    `oifname "${INTERFACE}" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu`,
  ]);
}

/**
 * /opt/jiji/firewall/frames.nft for `nft -f`: replaces our own table of family bridge. Containers on one bridge talk to each
 * other in frames, which the packet filter never sees; so a container with raw sockets could tell its neighbours that it is
 * their gateway. A frame that comes in through a bridge's port and claims this server's .1 is forged: the server itself does
 * not speak through a port. On any bridge, since nobody else has that address; kernels differ in whether a rule may name one.
 *
 * A file of its own, since a kernel without this family refuses all of a file.
 */
export function renderFrameFilter(address: Ipv4): string {
  return `#!/usr/sbin/nft -f
# Written by jiji; changes are lost.
table bridge ${FILTER_TABLE}
delete table bridge ${FILTER_TABLE}
table bridge ${FILTER_TABLE} {
	chain ports {
		type filter hook prerouting priority filter - 10; policy accept;
		arp saddr ip ${address} drop
		ip saddr ${address} drop
	}
}
`;
}
