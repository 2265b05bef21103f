import { z } from "zod";
import { boundedText, list } from "../schema.ts";

/** `jiji node resolve`: asks this server's jiji-dns, over the wire, for the addresses of names. */
export const resolveRequestSchema = z.object({
  /** fully qualified, without the final dot */
  names: list(z.string().max(253), 70_000),
  /** ask again until no answer holds this address any more, or one does */
  until: z
    .object({
      address: z.string().max(15),
      is: z.enum(["absent", "present"]),
      timeoutMs: z.number().min(0).max(60_000),
    })
    .nullable()
    .default(null),
});

export type ResolveRequest = z.input<typeof resolveRequestSchema>;

const resolvedSchema = z.object({
  name: boundedText,
  /** RCODE by name (NOERROR, NXDOMAIN, …); null: no answer came */
  rcode: boundedText.nullable(),
  addresses: list(boundedText, 70_000),
  /** of the addresses, else of the answer that there are none; null when the answer has none */
  ttlSeconds: z.number().min(0).nullable(),
  transport: z.enum(["udp", "tcp"]),
  latencyMs: z.number().min(0),
});

/** The answer: a line for each name, then the end. */
export const resolveLineSchema = z.discriminatedUnion("type", [
  resolvedSchema.extend({ type: z.literal("answer") }),
  z.object({
    type: z.literal("resolved"),
    /** who was asked, `ADDRESS:PORT` */
    endpoint: boundedText,
    /** whether `until` came true in time; true when there was none */
    isSettled: z.boolean(),
  }),
]);

export type ResolveLine = z.output<typeof resolveLineSchema>;
export type ResolvedName = z.output<typeof resolvedSchema>;
