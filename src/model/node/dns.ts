import { z } from "zod";
import { boundedText, list } from "../schema.ts";

/** `jiji node dns`: every name that this server's jiji-dns publishes. A mesh may have tens of thousands of them. */
export const dnsListRequestSchema = z.object({
  /** only names that equal this one or contain it; null: all */
  filter: z.string().max(300).nullable(),
  /** `digest`: only the last line, for comparing */
  detail: z.enum(["names", "digest"]).default("names"),
});

export type DnsListRequest = z.input<typeof dnsListRequestSchema>;

const nameSchema = z.object({
  /** fully qualified, without the final dot: `myapp-api.jiji` */
  name: boundedText,
  kind: z.enum(["service", "instance"]),
  /** what it stands for, for people */
  means: boundedText,
  records: list(
    z.object({
      address: boundedText.nullable(),
      /** the name of the server that owns the container */
      server: boundedText,
      containerId: boundedText,
      state: boundedText,
      /** whether this address is in this server's answer now */
      answered: z.boolean(),
      /** why it is not, for people; absent when answered */
      why: boundedText.exactOptional(),
    }),
    70_000,
  ),
  /** what else is spelled like it, and why it is not published under it */
  shadowed: list(z.object({ means: boundedText, why: boundedText }), 1000),
});

const endSchema = z.object({
  /** the server that answers */
  server: boundedText,
  ttlSeconds: z.number().min(0),
  /** where the table comes from: the store, or what jiji-dns saved while the store cannot be read */
  source: z.enum(["store", "saved"]),
  /** equal on two servers when they answer equally */
  digest: boundedText,
});

/** The answer: a line for each name, or several for one with many records, then the end. */
export const dnsListLineSchema = z.discriminatedUnion("type", [
  nameSchema.extend({ type: z.literal("name") }),
  endSchema.extend({ type: z.literal("listed") }),
]);

export type DnsListLine = z.output<typeof dnsListLineSchema>;
export type ListedName = z.output<typeof nameSchema>;

/** The lines put together. */
export interface DnsListing extends z.output<typeof endSchema> {
  readonly names: readonly ListedName[];
}
