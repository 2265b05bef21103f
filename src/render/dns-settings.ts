import { endpointOf } from "../model/address.ts";
import { serverAddress } from "../model/cluster.ts";
import type { DnsSettings } from "../model/dns-settings.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";

/** /opt/jiji/dns/settings.json: port 53 comes from systemd, the rows from the agent, which holds the token. */
export function renderDnsSettings({ cluster, subnet, dns }: NodeSpec): string {
  const settings: DnsSettings = {
    version: 1,
    listen: "inherit",
    store: { url: `unix:${PATHS.storeRelaySocket}`, tokenFile: null },
    agentSocket: PATHS.agentSocket,
    self: null,
    clusterCidr: cluster.cidr,
    ttlSeconds: dns.ttlSeconds,
    localFirst: dns.localFirst,
    upstreams: [...dns.upstreams],
    stateFile: PATHS.dnsState,
    metrics: endpointOf(serverAddress(cluster.cidr, subnet), PORTS.metrics) ?? null,
    controlSocket: PATHS.dnsControlSocket,
  };
  return `${JSON.stringify(settings, null, 2)}\n`;
}
