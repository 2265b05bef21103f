import { z } from "zod";
import { parseEndpoint, type Endpoint } from "./address.ts";
import { capacity, parseClusterCidr, type ClusterCidr, type SubnetNumber } from "./cluster.ts";
import { parseSha256, type Sha256 } from "./keys.ts";
import { parseDnsLabel, type DnsLabel } from "./names.ts";
import type { NodeSpec } from "./node-spec.ts";

const branded = <T>(parse: (text: string) => T | undefined) =>
  z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: "malformed" });
    return z.NEVER;
  });

const endpoints = z.array(branded<Endpoint>(parseEndpoint)).max(16);

/** A release's name; it becomes part of no path and of no text but JSON. The store's may be any that it gives itself. */
const installed = (version: RegExp) =>
  z.strictObject({ version: z.string().regex(version), sha256: branded<Sha256>(parseSha256) });

const subnet = z
  .int()
  .min(0)
  .transform((n) => n as SubnetNumber);

/** Reads a {@link NodeSpec} from JSON of any origin: every value is parsed to its brand, unknown keys are refused. */
export const nodeSpecSchema = z
  .strictObject({
    version: z.literal(1),
    name: branded<DnsLabel>(parseDnsLabel),
    subnet,
    cluster: z.strictObject({
      cidr: branded<ClusterCidr>(parseClusterCidr),
      mtuBytes: z.int().min(1280).max(9000),
    }),
    engine: z.enum(["docker", "podman"]),
    store: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("corrosion") }),
      z.strictObject({ kind: z.literal("embedded"), holder: subnet }),
    ]),
    dns: z.strictObject({
      ttlSeconds: z.int().min(0).max(86_400),
      localFirst: z.boolean(),
      upstreams: endpoints,
    }),
    endpoints,
    nat: z.boolean(),
    release: z.strictObject({
      jiji: installed(/^[0-9A-Za-z.+-]{1,40}$/),
      corrosion: installed(/^[0-9A-Za-z.+:_ -]{1,80}$/).optional(),
    }),
  })
  .refine(({ subnet: n, cluster }) => n < capacity(cluster.cidr), { path: ["subnet"], error: "outside the cluster" })
  .refine(({ store, cluster }) => store.kind !== "embedded" || store.holder < capacity(cluster.cidr), {
    path: ["store", "holder"],
    error: "outside the cluster",
  })
  .refine(({ store, release }) => store.kind !== "corrosion" || release.corrosion !== undefined, {
    path: ["release", "corrosion"],
    error: "missing",
  });

/** Reads spec.json; undefined when it is malformed. */
export function parseNodeSpecFile(text: string): NodeSpec | undefined {
  try {
    const parsed = nodeSpecSchema.safeParse(JSON.parse(text));
    return parsed.success ? (parsed.data as NodeSpec) : undefined;
  } catch {
    return undefined;
  }
}

/** The text of spec.json, in a fixed order, so that equal specs are equal texts. */
export function encodeNodeSpecFile(spec: NodeSpec): string {
  const { store, release } = spec;
  const ordered: NodeSpec = {
    version: 1,
    name: spec.name,
    subnet: spec.subnet,
    cluster: { cidr: spec.cluster.cidr, mtuBytes: spec.cluster.mtuBytes },
    engine: spec.engine,
    store: store.kind === "embedded" ? { kind: "embedded", holder: store.holder } : { kind: "corrosion" },
    dns: { ttlSeconds: spec.dns.ttlSeconds, localFirst: spec.dns.localFirst, upstreams: [...spec.dns.upstreams] },
    endpoints: [...spec.endpoints],
    nat: spec.nat,
    release: {
      jiji: { version: release.jiji.version, sha256: release.jiji.sha256 },
      ...(release.corrosion === undefined
        ? {}
        : { corrosion: { version: release.corrosion.version, sha256: release.corrosion.sha256 } }),
    },
  };
  return `${JSON.stringify(ordered, null, 2)}\n`;
}
