import { z } from "zod";

/**
 * What the CLI and a server say to each other about names: the shapes of `jiji node dns` (what its jiji-dns publishes) and
 * `jiji node resolve` (what its jiji-dns answers when it is asked). Both answer in lines, since a mesh may have tens of
 * thousands of names.
 */
const text = z.string().max(10_000);

/** `jiji node dns`: every name as this server knows it now. */
export const dnsListRequestSchema = z.object({
  /** only names that equal this one or contain it; null: all */
  filter: z.string().max(300).nullable(),
  /** `digest`: only the last line, for comparing */
  detail: z.enum(["names", "digest"]).default("names"),
});

export type DnsListRequest = z.input<typeof dnsListRequestSchema>;

const listedNameSchema = z.object({
  type: z.literal("name"),
  /** fully qualified, without the final dot: `myapp-api.jiji` */
  name: text,
  kind: z.enum(["service", "instance"]),
  /** what it stands for, for people */
  means: text,
  records: z
    .array(
      z.object({
        address: text.nullable(),
        /** the name of the server that owns the container */
        server: text,
        containerId: text,
        state: text,
        /** whether this address is in this server's answer now */
        answered: z.boolean(),
        /** why it is not, for people; absent when answered */
        why: text.optional(),
      }),
    )
    .max(70_000),
  /** what else is spelled like it, and why it is not published under it */
  shadowed: z.array(z.object({ means: text, why: text })).max(1000),
});

const listEndSchema = z.object({
  type: z.literal("listed"),
  /** the server that answers */
  server: text,
  ttlSeconds: z.number().min(0),
  /** where the table comes from: the store, or what jiji-dns saved while the store cannot be read */
  source: z.enum(["store", "saved"]),
  /** equal on two servers when they answer equally */
  digest: text,
});

/** The answer: a line for each name, then the end. */
export const dnsListLineSchema = z.discriminatedUnion("type", [listedNameSchema, listEndSchema]);

export type DnsListLine = z.infer<typeof dnsListLineSchema>;
export type ListedName = Omit<z.infer<typeof listedNameSchema>, "type">;

/** The lines put together. */
export interface DnsListing extends Omit<z.infer<typeof listEndSchema>, "type"> {
  readonly names: readonly ListedName[];
}

/** `jiji node resolve`: asks this server's jiji-dns, over the wire, for the addresses of names. */
export const resolveRequestSchema = z.object({
  /** fully qualified, without the final dot */
  names: z.array(z.string().max(253)).max(70_000),
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
  type: z.literal("answer"),
  name: text,
  /** RCODE by name (NOERROR, NXDOMAIN, …); null: no answer came */
  rcode: text.nullable(),
  addresses: z.array(text).max(70_000),
  /** of the addresses, else of the answer that there are none; null when the answer has none */
  ttlSeconds: z.number().min(0).nullable(),
  transport: z.enum(["udp", "tcp"]),
  latencyMs: z.number().min(0),
});

export const resolveLineSchema = z.discriminatedUnion("type", [
  resolvedSchema,
  z.object({
    type: z.literal("resolved"),
    /** who was asked, `ADDRESS:PORT` */
    endpoint: text,
    /** whether `until` came true in time; true when there was none */
    isSettled: z.boolean(),
  }),
]);

export type ResolveLine = z.infer<typeof resolveLineSchema>;
export type ResolvedName = Omit<z.infer<typeof resolvedSchema>, "type">;
