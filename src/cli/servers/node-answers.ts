import { z } from "zod";
import { parseIdentityPublicKey, parseServerId, parseWireGuardPublicKey, serverIdOf } from "../../model/keys.ts";
import type { Identity } from "../../model/identity.ts";
import type { MembersFile } from "../../model/members.ts";
import { parseDnsLabel } from "../../model/names.ts";
import type { ApplyEvent, LockEvent, NodeFacts, NodeStatus } from "../../model/node-protocol.ts";
import { nodeSpecSchema } from "../../model/node-spec-file.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import type { Reading } from "../../model/reading.ts";
import { signedServerRecordSchema } from "../../model/server-record.ts";
import type { SubnetNumber } from "../../model/cluster.ts";

/**
 * What servers say, held to its shape. A server may run another release, so keys that are not known here are passed over
 * and lists of things that were added later may be missing; what decides something (identity, keys, numbers) is parsed to
 * its branded type or refused.
 */

const branded = <T>(parse: (text: string) => T | undefined) =>
  z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: "malformed" });
    return z.NEVER;
  });

const reading = <T>(value: z.ZodType<T>): z.ZodType<Reading<T>> =>
  z.discriminatedUnion("state", [
    z.object({ state: z.literal("found"), value }),
    z.object({ state: z.literal("absent") }),
    z.object({ state: z.literal("unknown"), why: z.string() }),
  ]);

const text = z.string().max(10_000);
const count = z.number().min(0);
const engineKind = z.enum(["docker", "podman"]);
const subnet = z
  .int()
  .min(0)
  .max(254)
  .transform((n) => n as SubnetNumber);

const identity = z
  .object({
    id: branded(parseServerId),
    idKey: branded(parseIdentityPublicKey),
    name: branded(parseDnsLabel),
    subnet,
  })
  .refine(({ id, idKey }) => serverIdOf(idKey) === id, { error: "the id does not belong to its key" });

const members = z.object({
  version: z.literal(1),
  members: z.array(signedServerRecordSchema).max(1000),
  removed: z
    .array(z.object({ id: branded(parseServerId), name: text, subnet: z.int().min(0).max(254).nullable() }))
    .max(10_000),
});

const engineFacts = z.object({
  kind: engineKind,
  version: text,
  netavark: z.boolean().optional(),
  rootless: z.boolean().optional(),
});

const factsSchema = z.object({
  hostname: text,
  arch: text,
  os: z.object({ id: text, versionId: text, prettyName: text }),
  systemd: reading(text),
  glibc: reading(text),
  packageManager: z.enum(["apt", "dnf", "zypper"]).nullable(),
  engines: z.object({ docker: reading(engineFacts), podman: reading(engineFacts) }),
  identity: reading<Identity>(identity),
  publicKey: reading(branded(parseWireGuardPublicKey)),
  spec: reading<NodeSpec>(nodeSpecSchema as unknown as z.ZodType<NodeSpec>),
  members: reading<MembersFile>(members),
  release: z.object({ jiji: reading(text), corrosion: reading(text) }),
  networks: z.array(z.object({ cidr: text, what: text })).max(10_000),
  listeners: z
    .array(
      z.object({ protocol: z.enum(["udp", "tcp"]), address: text, port: z.int().min(0).max(65_535), program: text }),
    )
    .max(10_000),
  obstacles: z.array(z.object({ code: text, message: text, hint: text })).max(100),
});

const applyEventSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("plan"),
    steps: z
      .array(z.object({ kind: text, target: text, verb: text, summary: text, details: z.array(z.string()).optional() }))
      .max(10_000),
  }),
  z.object({ type: z.literal("step"), index: z.int().min(0), state: z.enum(["started", "done"]) }),
  z.object({ type: z.literal("progress"), line: text }),
  z.object({
    type: z.literal("done"),
    record: signedServerRecordSchema.optional(),
    storeToken: z.string().max(1000).optional(),
    notes: z.array(text).default([]),
  }),
  z.object({ type: z.literal("failed"), message: text, hint: text.optional() }),
]);

const lockEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("held") }),
  z.object({ type: z.literal("busy"), holder: text }),
]);

const peer = z.object({
  id: text,
  name: text,
  endpoint: text.nullable(),
  handshakeAgeSeconds: z.number().nullable(),
  receivedBytes: count,
  sentBytes: count,
  fullSizePacket: z.boolean().optional(),
  roundTripMs: z.number().nullable().optional(),
});

const statusSchema = z.object({
  identity: reading<Identity>(identity),
  version: text,
  members: z
    .array(z.object({ id: text, name: text, subnet: z.int(), firstSeenMs: z.number().nullable().default(null) }))
    .max(1000),
  wireguard: reading(z.object({ peers: z.array(peer).max(1000) })),
  units: z.record(text, text),
  store: reading(z.object({ kind: z.enum(["corrosion", "embedded"]), rows: count, sizeBytes: count.nullable() })),
  dns: reading(z.object({ udp: z.boolean(), tcp: z.boolean(), latencyMs: count })),
  agent: reading(z.object({ ready: z.boolean() })),
  engine: reading(z.object({ kind: engineKind, version: text })),
  containers: reading(z.record(text, count)),
  problems: z.array(text).max(1000),
  notes: z.array(text).max(1000).default([]),
});

/** A line that is not what was asked for: undefined. */
function parseWith<T>(schema: z.ZodType, value: unknown): T | undefined {
  const parsed = schema.safeParse(value);
  return parsed.success ? (parsed.data as T) : undefined;
}

export const parseNodeFacts = (value: unknown): NodeFacts | undefined => parseWith(factsSchema, value);
export const parseApplyEvent = (value: unknown): ApplyEvent | undefined => parseWith(applyEventSchema, value);
export const parseLockEvent = (value: unknown): LockEvent | undefined => parseWith(lockEventSchema, value);
export const parseNodeStatus = (value: unknown): NodeStatus | undefined => parseWith(statusSchema, value);

/** `{type: "failed", …}`, which every subcommand may say instead of its answer. */
export function parseFailure(value: unknown): { readonly message: string; readonly hint?: string } | undefined {
  const event = parseApplyEvent(value);
  return event?.type === "failed" ? event : undefined;
}
