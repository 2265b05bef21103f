import { z } from "zod";
import { parseEndpoint, parseIpv4 } from "./address.ts";
import { parseClusterCidr } from "./cluster.ts";
import { parseServerId } from "./keys.ts";
import { branded } from "./schema.ts";

/** A numeric IPv4 address and a port to bind; port 0: the system chooses one. */
const listenAddress = z.string().refine((text) => {
  const [, host, port] = /^(.+):(0|[1-9][0-9]{0,4})$/.exec(text) ?? [];
  return parseIpv4(host ?? "") !== undefined && Number(port) <= 65_535;
}, "not IPV4:PORT");

const path = z.string().startsWith("/");

/**
 * How one DNS server runs: /opt/jiji/dns/settings.json, or the options of `jiji dns serve`. It holds no secret. On a server
 * of a mesh it does not even hold the path of one, since there the store is read through the agent's relay.
 */
export const dnsSettingsSchema = z.object({
  version: z.literal(1),
  /** the descriptors that systemd hands over (LISTEN_FDS), or addresses to bind for UDP and TCP (port 0: any) */
  listen: z.union([z.literal("inherit"), z.array(listenAddress).min(1)]),
  store: z.object({
    /** `http://HOST:PORT`, or `unix:PATH` for the agent's relay */
    url: z.string(),
    /** the file that holds the bearer token, alone on its line; null: none is needed */
    tokenFile: path.nullable(),
  }),
  /** agent.sock; null: members come from the store's `servers` rows and every server counts as reachable */
  agentSocket: path.nullable(),
  /** this server's id; null: the agent tells it, or nobody needs it */
  self: branded(parseServerId, () => "not a server's id").nullable(),
  clusterCidr: branded(parseClusterCidr, () => "not a network of /8 to /24"),
  /** of addresses in answers */
  ttlSeconds: z.int().min(0).max(86_400),
  /** this server's own containers come first in an answer */
  localFirst: z.boolean(),
  /** resolvers for all other names; empty: the system's own */
  upstreams: z.array(branded(parseEndpoint, () => "not IP:PORT")),
  /** where the last table is kept; null: nowhere */
  stateFile: path.nullable(),
  /** where metrics are served over HTTP; null: nowhere */
  metrics: listenAddress.nullable(),
  /** where `status`, `names` and `trace` are asked; null: nowhere */
  controlSocket: path.nullable(),
});

export type DnsSettings = z.infer<typeof dnsSettingsSchema>;
