import { z } from "zod";
import { parseEndpoint, parseIpv4, type Endpoint, type Ipv4 } from "./address.ts";
import { parseClusterCidr, type ClusterCidr } from "./cluster.ts";

const branded = <T>(parse: (text: string) => T | undefined) =>
  z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: "malformed" });
    return z.NEVER;
  });

/** /opt/jiji/dns/settings.json, and what `jiji dns serve` makes of its options. */
export const dnsSettingsSchema = z.object({
  version: z.literal(1),
  /** addresses to bind; null: sockets inherited from systemd (LISTEN_FDS) */
  listen: z.array(z.object({ address: branded<Ipv4>(parseIpv4), port: z.int().min(0).max(65535) })).nullable(),
  /** `http://HOST:PORT` or `unix:/path` */
  store: z.string(),
  tokenFile: z.string().nullable(),
  agentSocket: z.string().nullable(),
  clusterCidr: branded<ClusterCidr>(parseClusterCidr),
  /** this server's .1, when it has one: never asked as an upstream */
  serverAddress: branded<Ipv4>(parseIpv4).nullable(),
  ttlSeconds: z.int().min(0).max(86_400),
  localFirst: z.boolean(),
  /** empty: the system's resolvers */
  upstreams: z.array(branded<Endpoint>(parseEndpoint)),
  /** the last table, loaded at start; null: not saved */
  stateFile: z.string().nullable(),
  metrics: z.object({ address: branded<Ipv4>(parseIpv4), port: z.int().min(0).max(65535) }).nullable(),
  controlSocket: z.string().nullable(),
});

export type DnsSettings = z.infer<typeof dnsSettingsSchema>;
