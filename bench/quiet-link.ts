import { startLink, type AgentLink } from "../src/agent/mesh/link.ts";
import type { ClusterCidr, SubnetNumber } from "../src/model/cluster.ts";
import type { ServerId } from "../src/model/keys.ts";
import { systemClock } from "../src/system/clock.ts";
import { systemUdp } from "../src/system/udp.ts";
import type { Udp } from "../src/system/udp-port.ts";

/** A server's end of the probes, ready and real; what it learns is looked at by nobody. */
export function startQuietLink(
  cluster: ClusterCidr,
  self: { readonly id: ServerId; readonly subnet: SubnetNumber },
  { udp = systemUdp, warn = () => undefined }: { readonly udp?: Udp; readonly warn?: (line: string) => void } = {},
): AgentLink {
  const link = startLink({
    self,
    cluster,
    udp,
    clock: systemClock,
    log: { info: () => undefined, warn },
    random: Math.random,
    lost: new Set(),
    onReachability: () => undefined,
    onNews: () => undefined,
    onRecheck: () => undefined,
  });
  link.setReady(true);
  return link;
}
