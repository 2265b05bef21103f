import { z } from "zod";

/**
 * Why jiji-dns answers what it answers: the rows it looked at for one name or one container, what it decided about each,
 * and the answer. Texts in it may come from other servers and are not escaped.
 */
export const tracedRowSchema = z.object({
  /** the name of the server that owns the row; its id when it is no member */
  server: z.string(),
  serverId: z.string(),
  n: z.number(),
  containerId: z.string(),
  address: z.string().nullable(),
  state: z.string(),
  rev: z.number(),
  /** `news`: told by its owner, ahead of the store */
  source: z.enum(["store", "news"]),
  /** the names that its labels spell, and whether each leads to it */
  names: z.array(z.object({ name: z.string(), isHeld: z.boolean(), why: z.string().optional() })),
  /** whether its address is in the answer now */
  isAnswered: z.boolean(),
  /** why it is not, for people; absent when it is */
  why: z.string().optional(),
});

export type TracedRow = z.infer<typeof tracedRowSchema>;

export const traceSchema = z.object({
  /** as it was looked up, without the final dot */
  name: z.string(),
  /** `elsewhere`: not ours, forwarded; `nothing`: ours, and nobody has it */
  kind: z.enum(["service", "instance", "port", "server", "apex", "branch", "address", "nothing", "elsewhere"]),
  /** what it stands for, for people */
  means: z.string(),
  rows: z.array(tracedRowSchema),
  /** other records that spell this name */
  shadowed: z.array(z.object({ means: z.string(), why: z.string() })),
  answer: z.object({
    /** by name; null: it is forwarded, so others decide */
    rcode: z.string().nullable(),
    /** record data as text */
    records: z.array(z.object({ type: z.string(), data: z.string() })),
    ttlSeconds: z.number().nullable(),
  }),
});

export type Trace = z.infer<typeof traceSchema>;
