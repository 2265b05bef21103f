import { z } from "zod";
import { parseIpv4 } from "./address.ts";
import { parseJson } from "./json.ts";
import { parseDnsLabel } from "./names.ts";
import { branded } from "./schema.ts";

export const CONTAINER_STATES = ["starting", "healthy", "unhealthy", "draining", "stopped"] as const;

/** DNS answers contain only `healthy` containers; records of the others are kept, but not answered. */
export type ContainerState = (typeof CONTAINER_STATES)[number];

/** One container of the engine network, as its server's agent writes it. */
const schema = z.object({
  /** the engine's full id, 64 hex digits */
  containerId: z.string().regex(/^[0-9a-f]{64}$/),
  project: branded(parseDnsLabel),
  service: branded(parseDnsLabel),
  instance: branded(parseDnsLabel).nullable(),
  /** null while the engine has given it none (created, stopped) */
  address: branded(parseIpv4).nullable(),
  state: z.enum(CONTAINER_STATES),
  /** exposed ports, e.g. {port: 80, protocol: "tcp"} */
  ports: z
    .array(z.object({ port: z.int().min(1).max(65535), protocol: z.enum(["tcp", "udp", "sctp"]) }))
    .max(256)
    .default([]),
  /** published facts for TXT answers and inspect; at most 2 kB as JSON */
  meta: z.record(z.string(), z.string()).default({}),
  /** the owner's own counter (revision.ts): the larger is the newer, within one owner only */
  rev: z.int().min(0),
});

export type ContainerRecord = Readonly<z.output<typeof schema>>;

/** JSON with a fixed key order, so that equal records are equal texts. */
export function encodeContainerRecord(record: ContainerRecord): string {
  return JSON.stringify({
    containerId: record.containerId,
    project: record.project,
    service: record.service,
    instance: record.instance,
    address: record.address,
    state: record.state,
    ports: record.ports.map(({ port, protocol }) => ({ port, protocol })),
    meta: Object.fromEntries(Object.entries(record.meta).sort(([a], [b]) => (a < b ? -1 : 1))),
    rev: record.rev,
  });
}

/**
 * Reads a record of any origin. Empty, malformed or incomplete text gives undefined: such a row counts as not there. The
 * caller checks that the address is one of the owner's, since only the caller knows the owner's pinned subnet.
 */
export function parseContainerRecord(text: string): ContainerRecord | undefined {
  if (text === "" || text.length > 16_384) return undefined;
  return parseJson(text, schema);
}
