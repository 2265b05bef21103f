import { z } from "zod";
import { parseEndpoint } from "./address.ts";
import { capacity, parseClusterCidr, subnetNumberSchema } from "./cluster.ts";
import { parseJson } from "./json.ts";
import { parseSha256 } from "./keys.ts";
import { parseDnsLabel } from "./names.ts";
import { branded, list } from "./schema.ts";

export const engineKindSchema = z.enum(["docker", "podman"]);

export type EngineKind = z.output<typeof engineKindSchema>;
export const ENGINE_KINDS: readonly EngineKind[] = engineKindSchema.options;

const endpoints = list(branded(parseEndpoint), 16);

/** A release's name becomes part of no path and of no text but JSON. */
const installed = (version: RegExp) =>
  z.strictObject({ version: z.string().regex(version), sha256: branded(parseSha256) });

/**
 * How one server should be: a plain JSON value, kept as /opt/jiji/spec.json so that repair needs no operator. It says
 * nothing about other servers; who they are stands in members.json. No secret is ever part of it. Unknown keys are refused.
 */
export const nodeSpecSchema = z
  .strictObject({
    version: z.literal(1),
    /** the server's name in the mesh */
    name: branded(parseDnsLabel),
    /** its number, given once by setup under the lock */
    subnet: subnetNumberSchema,
    cluster: z.strictObject({
      cidr: branded(parseClusterCidr),
      mtuBytes: z.int().min(1280).max(9000),
    }),
    engine: engineKindSchema,
    /** where the records are kept */
    store: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("corrosion") }),
      /** one member holds them; for trials (docs/concepts.md) */
      z.strictObject({ kind: z.literal("embedded"), holder: subnetNumberSchema }),
    ]),
    dns: z.strictObject({
      ttlSeconds: z.int().min(0).max(86_400),
      localFirst: z.boolean(),
      /** empty: the system's own resolvers */
      upstreams: endpoints,
    }),
    /** where peers reach this server's WireGuard, best first */
    endpoints,
    nat: z.boolean(),
    /** what this release installs, by content */
    release: z.strictObject({
      jiji: installed(/^[0-9A-Za-z.+-]{1,40}$/),
      /** absent with the embedded store; Corrosion names its releases as it likes */
      corrosion: installed(/^[0-9A-Za-z.+:_ -]{1,80}$/).exactOptional(),
    }),
  })
  .refine(({ subnet, cluster }) => subnet < capacity(cluster.cidr), { path: ["subnet"], error: "outside the cluster" })
  .refine(({ store, cluster }) => store.kind !== "embedded" || store.holder < capacity(cluster.cidr), {
    path: ["store", "holder"],
    error: "outside the cluster",
  })
  .refine(({ store, release }) => store.kind !== "corrosion" || release.corrosion !== undefined, {
    path: ["release", "corrosion"],
    error: "missing",
  });

export type NodeSpec = z.output<typeof nodeSpecSchema>;
export type StoreChoice = NodeSpec["store"];

/** Reads spec.json; undefined when it is malformed. */
export function parseNodeSpecFile(text: string): NodeSpec | undefined {
  return parseJson(text, nodeSpecSchema);
}

/** The text of spec.json. A parsed value has the schema's order, so equal specs are equal texts. */
export function encodeNodeSpecFile(spec: NodeSpec): string {
  return `${JSON.stringify(nodeSpecSchema.parse(spec), null, 2)}\n`;
}

/** Where each engine listens when it runs as root. */
export const ENGINE_SOCKETS: Readonly<Record<EngineKind, string>> = {
  docker: "/var/run/docker.sock",
  podman: "/run/podman/podman.sock",
};
