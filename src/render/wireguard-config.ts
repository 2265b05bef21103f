import type { Endpoint, Ipv4 } from "../model/address.ts";
import type { Cidr } from "../model/cluster.ts";
import type { WireGuardPublicKey } from "../model/keys.ts";
import type { DnsLabel } from "../model/names.ts";
import { PATHS } from "../model/paths.ts";
import { PORTS } from "../model/ports.ts";

export interface WireguardConfig {
  readonly address: Ipv4;
  readonly mtuBytes: number;
  readonly peers: readonly {
    readonly name: DnsLabel;
    readonly publicKey: WireGuardPublicKey;
    readonly endpoints: readonly Endpoint[];
    readonly allowedIps: Cidr;
    readonly keepaliveSeconds: number;
  }[];
}

/**
 * /etc/wireguard/jiji0.conf for wg-quick(8). It holds no secret: the key is read from its own file once the interface
 * exists. Endpoints are numeric, so the tunnel comes up without a resolver. `Table = off` keeps wg-quick from adding routes
 * itself: it would fail on an existing route and remove the interface. `ip route replace` does not.
 */
export function renderWireguardConfig(config: WireguardConfig): string {
  const lines = [
    "# Written by jiji; changes are lost. wg-quick reads it at boot, jiji changes the running tunnel peer by peer.",
    "[Interface]",
    `Address = ${config.address}/32`,
    `ListenPort = ${PORTS.wireguard}`,
    `MTU = ${config.mtuBytes}`,
    "Table = off",
    `PostUp = wg set %i private-key ${PATHS.wireguardKey}`,
    "PostUp = echo 1 > /proc/sys/net/ipv4/conf/%i/forwarding",
    ...config.peers.map(({ allowedIps }) => `PostUp = ip -4 route replace ${allowedIps} dev %i`),
  ];
  for (const peer of config.peers) {
    const [endpoint] = peer.endpoints;
    lines.push("", `# ${peer.name}`, "[Peer]", `PublicKey = ${peer.publicKey}`);
    if (endpoint !== undefined) lines.push(`Endpoint = ${endpoint}`);
    lines.push(`AllowedIPs = ${peer.allowedIps}`);
    if (peer.keepaliveSeconds > 0) lines.push(`PersistentKeepalive = ${peer.keepaliveSeconds}`);
  }
  return `${lines.join("\n")}\n`;
}
