import { serverAddress } from "../model/cluster.ts";
import type { DnsSettings } from "../model/dns-settings.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";

/** /opt/jiji/dns/settings.json: port 53 comes from systemd, the rows from the agent, which holds the token. */
export function renderDnsSettings({ cluster, subnet, dns }: NodeSpec): string {
  const address = serverAddress(cluster.cidr, subnet);
  const settings: DnsSettings = {
    version: 1,
    listen: null,
    store: `unix:${PATHS.storeRelaySocket}`,
    tokenFile: null,
    agentSocket: PATHS.agentSocket,
    clusterCidr: cluster.cidr,
    serverAddress: address,
    ttlSeconds: dns.ttlSeconds,
    localFirst: dns.localFirst,
    upstreams: [...dns.upstreams],
    stateFile: PATHS.dnsState,
    metrics: { address, port: PORTS.metrics },
    controlSocket: PATHS.dnsControlSocket,
  };
  return `${JSON.stringify(settings, null, 2)}\n`;
}
