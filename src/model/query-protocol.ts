import { z } from "zod";
import { storeFiguresSchema, storeHealthSchema } from "./store-figures.ts";

/**
 * `jiji node query`: the store of one server, read from its own file by an unprivileged process, or written through the
 * store's API. One request on standard input, NDJSON on standard output.
 */
export const queryRequestSchema = z.discriminatedUnion("mode", [
  z.object({
    /** `read` answers with rows; `rehearse` with what the statement would change */
    mode: z.enum(["read", "rehearse"]),
    sql: z.string().max(1_000_000),
    /** JSON of a list or an object, as its text, so that no integer loses digits; null: none */
    params: z.string().max(1_000_000).nullable(),
    /** processor time after which it is broken off */
    seconds: z.int().min(1).max(3600),
  }),
  z.object({
    mode: z.literal("write"),
    sql: z.string().max(1_000_000),
    params: z.string().max(1_000_000).nullable(),
  }),
  z.object({ mode: z.literal("figures") }),
]);

export type QueryRequest = z.infer<typeof queryRequestSchema>;

/** A value as it travels: integers exact, a BLOB as the list of its bytes. */
const value = z.union([z.null(), z.number(), z.bigint(), z.string(), z.array(z.int().min(0).max(255))]);

export type QueryValue = z.infer<typeof value>;

const row = z.array(value);

/** Lines that answer. The last one is `end`, `rehearsed`, `written` or `figures`, or says why not. */
export const queryEventSchema = z.discriminatedUnion("type", [
  /** the store of this server cannot be read now; another server's may */
  z.object({ type: z.literal("away"), why: z.string(), hint: z.string() }),
  /** this server keeps no store of its own: the member with that number holds it */
  z.object({ type: z.literal("elsewhere"), holder: z.int().min(0).max(254), name: z.string().nullable() }),
  z.object({ type: z.literal("columns"), columns: z.array(z.string()).readonly() }),
  z.object({ type: z.literal("rows"), rows: z.array(row) }),
  z.object({ type: z.literal("end"), rows: z.int().min(0) }),
  z.object({
    type: z.literal("change"),
    table: z.string(),
    columns: z.array(z.string()),
    before: row.nullable(),
    after: row.nullable(),
  }),
  z.object({
    type: z.literal("rehearsed"),
    differences: z.int().min(0),
    rowsAffected: z.int().min(0),
    /** a function whose value will be another one when it is done in earnest */
    changingFunction: z.string().nullable(),
  }),
  z.object({
    type: z.literal("figures"),
    kind: z.enum(["corrosion", "embedded"]),
    /** the file and its log as they are on disk */
    sizeBytes: z.number().min(0).nullable(),
    walBytes: z.number().min(0).nullable(),
    /** this server's id, and the members that it knows; empty when it cannot say */
    self: z.string().nullable(),
    members: z.array(z.object({ id: z.string(), name: z.string() })).max(1000),
    figures: storeFiguresSchema,
    /** null: the store does not say */
    health: storeHealthSchema.nullable(),
  }),
  z.object({ type: z.literal("written"), rowsAffected: z.int().min(0), version: z.int().nullable() }),
]);

export type QueryEvent = z.infer<typeof queryEventSchema>;
