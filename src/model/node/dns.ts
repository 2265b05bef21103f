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

const recordSchema = z.object({
  address: boundedText.nullable(),
  /** the name of the server that owns the container; its id when the name is not known */
  server: boundedText,
  containerId: boundedText,
  state: boundedText,
  /** whether this address is in this server's answer now */
  answered: z.boolean(),
  /** why it is not, for people; absent when answered */
  why: boundedText.exactOptional(),
});

/** What does not have the name it spells, and why another one has it, for people. */
const shadowSchema = z.object({ means: boundedText, why: boundedText });

/** A name that jiji-dns publishes, and what is behind it. */
export const listedNameSchema = z.object({
  /** fully qualified, without the final dot: `myapp-api.jiji` */
  name: boundedText,
  kind: z.enum(["service", "instance"]),
  /** what it stands for, for people */
  means: boundedText,
  records: list(recordSchema, 70_000),
  /** what else spells this name */
  shadowed: list(shadowSchema, 1000),
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
  listedNameSchema.extend({ type: z.literal("name") }),
  endSchema.extend({ type: z.literal("listed") }),
]);

export type DnsListLine = z.output<typeof dnsListLineSchema>;
export type ListedName = z.output<typeof listedNameSchema>;
export type ListedRecord = z.output<typeof recordSchema>;
export type Shadow = z.output<typeof shadowSchema>;

/** The lines put together. */
export interface DnsListing extends z.output<typeof endSchema> {
  readonly names: readonly ListedName[];
}
