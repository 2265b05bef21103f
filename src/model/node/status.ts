import { z } from "zod";
import { finding, findingSchema } from "../finding.ts";
import { identitySchema } from "../identity.ts";
import { engineKindSchema } from "../node-spec.ts";
import { boundedText, list, reading } from "../schema.ts";

/** WireGuard renews a handshake in use every 2 minutes; after this long nothing can pass. */
export const STALE_HANDSHAKE_SECONDS = 300;

/** `jiji node status`: one server as it is now. With `probe` it sends a packet of full size to every peer. */
export const statusRequestSchema = z.object({ probe: z.boolean() });

const count = z.number().min(0);

const memberSchema = z.object({
  id: boundedText,
  name: boundedText,
  subnet: z.int(),
  /** when this server first heard of it, ms since 1970 by its own clock; null: not known */
  firstSeenMs: z.number().nullable().default(null),
});

const peerSchema = z.object({
  id: boundedText,
  name: boundedText,
  endpoint: boundedText.nullable(),
  /** seconds since the latest handshake; null: never */
  handshakeAgeSeconds: z.number().nullable(),
  receivedBytes: count,
  sentBytes: count,
  /** only with `probe`: whether a packet of the tunnel's full size came back */
  fullSizePacket: z.boolean().exactOptional(),
  roundTripMs: z.number().nullable().exactOptional(),
});

const answerSchema = z.object({
  identity: reading(identitySchema),
  version: boundedText,
  members: list(memberSchema, 1000),
  wireguard: reading(z.object({ peers: list(peerSchema, 1000) })),
  /** systemd's word for each unit: active, failed, inactive, … */
  units: z.record(boundedText, boundedText),
  store: reading(z.object({ kind: z.enum(["corrosion", "embedded"]), rows: count, sizeBytes: count.nullable() })),
  /** whether jiji-dns on .1 answered a question for the zone's SOA, over UDP and TCP */
  dns: reading(z.object({ udp: z.boolean(), tcp: z.boolean(), latencyMs: count })),
  agent: reading(z.object({ ready: z.boolean() })),
  engine: reading(z.object({ kind: engineKindSchema, version: boundedText })),
  /** containers of the engine network, by state */
  containers: reading(z.record(boundedText, count)),
  /** what is not as it should be; the server does not know what deploy.yml calls it, so it names none */
  findings: list(findingSchema, 1000).default([]),
  /** the same from a release that had no findings */
  problems: list(boundedText, 1000).default([]),
});

export const nodeStatusSchema = answerSchema.transform(({ problems, ...status }) => ({
  ...status,
  findings: [...status.findings, ...problems.map((words) => finding("other", { words }))],
}));

export type NodeStatus = z.output<typeof nodeStatusSchema>;
export type PeerStatus = z.output<typeof peerSchema>;
