import type { Ipv4 } from "../model/address.ts";
import { FILTER_TABLE } from "./packet-filter.ts";

/**
 * /opt/jiji/firewall/frames.nft for `nft -f`: replaces our own table of family bridge. Containers on one bridge talk to each
 * other in frames, which the packet filter never sees; so a container with raw sockets could tell its neighbours that it is
 * their gateway. What comes in through a bridge's port and says that it is this server's .1 is lying: the server itself does
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
