import { z } from "zod";
import { tracedRowSchema, traceSchema } from "../../model/dns-trace.ts";
import { listedNameSchema } from "../../model/node/dns.ts";

/** What can be asked on jiji-dns's control socket: one JSON line each; one JSON line comes back. */
export const controlRequestSchema = z.discriminatedUnion("type", [
  /** every published name that contains the filter; null: all */
  z.object({ type: z.literal("names"), filter: z.string().nullable().default(null) }),
  z.object({ type: z.literal("status") }),
  /** why a name has the answer that it has */
  z.object({ type: z.literal("trace"), name: z.string().max(300) }),
  /** every row of one container, by its full id */
  z.object({ type: z.literal("container"), id: z.string().max(64) }),
]);

export type ControlRequest = z.input<typeof controlRequestSchema>;

/** A request as it arrives, checked. */
export type CheckedRequest = z.output<typeof controlRequestSchema>;

export const namesAnswerSchema = z.object({
  type: z.literal("names"),
  /** this server's name in the mesh, when it is known */
  server: z.string().nullable(),
  ttlSeconds: z.number(),
  source: z.enum(["store", "saved", "none"]),
  names: z.array(listedNameSchema).readonly(),
});

export const statusAnswerSchema = z.object({
  type: z.literal("status"),
  /** where the table comes from: the store, what was saved while the store could not be read, or nowhere yet */
  source: z.enum(["store", "saved", "none"]),
  store: z.object({
    connected: z.boolean(),
    /** seconds since the store was last known to be in step; null: never since the start */
    ageSeconds: z.number().nullable(),
    why: z.string(),
    resyncs: z.number(),
  }),
  /** null: no agent is configured */
  agent: z.object({ silent: z.boolean(), ready: z.boolean(), unreachable: z.array(z.string()) }).nullable(),
  servers: z.number(),
  rows: z.number(),
  names: z.number(),
  shadowed: z.number(),
  listening: z.array(z.object({ address: z.string(), protocol: z.enum(["udp", "tcp"]), loop: z.string() })),
  resolvers: z.array(z.object({ endpoint: z.string(), trusted: z.boolean() })),
  uptimeSeconds: z.number(),
});

/** Where what is said comes from. */
const viewSchema = z.object({
  /** this server's name in the mesh, when it is known */
  server: z.string().nullable(),
  source: statusAnswerSchema.shape.source,
  store: statusAnswerSchema.shape.store,
  agent: statusAnswerSchema.shape.agent,
});

export const traceAnswerSchema = z.object({
  type: z.literal("trace"),
  view: viewSchema,
  trace: traceSchema,
  /** who is asked for names that are not ours */
  resolvers: z.array(z.string()),
});

const containerAnswerSchema = z.object({
  type: z.literal("container"),
  view: viewSchema,
  rows: z.array(tracedRowSchema),
});

const errorSchema = z.object({ type: z.literal("error"), message: z.string() });

export const controlAnswerSchema = z.discriminatedUnion("type", [
  namesAnswerSchema,
  statusAnswerSchema,
  traceAnswerSchema,
  containerAnswerSchema,
  errorSchema,
]);

export type NamesAnswer = z.infer<typeof namesAnswerSchema>;
export type StatusAnswer = z.infer<typeof statusAnswerSchema>;
export type TraceAnswer = z.infer<typeof traceAnswerSchema>;
export type ControlAnswer = z.infer<typeof controlAnswerSchema>;
