import { z } from "zod";
import { list } from "../schema.ts";
import { storeFiguresSchema, storeHealthSchema } from "../store-figures.ts";

const sql = z.string().max(1_000_000);

/** JSON of a list or an object, as its text, so that no integer loses digits; null: none. */
const params = z.string().max(1_000_000).nullable();

/**
 * `jiji node query`: the store of one server, read from its own file by an unprivileged process, or written through the
 * store's API.
 */
export const queryRequestSchema = z.discriminatedUnion("mode", [
  z.object({
    /** `read` answers with rows; `rehearse` with what the statement would change */
    mode: z.enum(["read", "rehearse"]),
    sql,
    params,
    /** processor time after which it is broken off */
    seconds: z.int().min(1).max(3600),
  }),
  z.object({ mode: z.literal("write"), sql, params }),
  z.object({ mode: z.literal("figures") }),
]);

export type QueryRequest = z.output<typeof queryRequestSchema>;

/** A value as it travels: integers exact, a BLOB as the list of its bytes. */
const value = z.union([z.null(), z.number(), z.bigint(), z.string(), z.array(z.int().min(0).max(255))]);

export type QueryValue = z.output<typeof value>;

const row = z.array(value);
const columns = z.array(z.string()).readonly();

/** The store of this server cannot be read now; another server's may. */
export const awaySchema = z.object({ type: z.literal("away"), why: z.string(), hint: z.string() });

/** What the reader of the store's file says itself, and `jiji node query` passes on as it is. */
export const readLineSchemas = [
  z.object({ type: z.literal("columns"), columns }),
  z.object({ type: z.literal("rows"), rows: z.array(row) }),
  z.object({ type: z.literal("end"), rows: z.int().min(0) }),
  z.object({ type: z.literal("change"), table: z.string(), columns, before: row.nullable(), after: row.nullable() }),
  z.object({
    type: z.literal("rehearsed"),
    differences: z.int().min(0),
    rowsAffected: z.int().min(0),
    /** a function whose value will be another one when it is done in earnest */
    changingFunction: z.string().nullable(),
  }),
] as const;

const figuresSchema = z.object({
  type: z.literal("figures"),
  kind: z.enum(["corrosion", "embedded"]),
  /** the file and its log as they are on disk */
  sizeBytes: z.number().min(0).nullable(),
  walBytes: z.number().min(0).nullable(),
  /** this server's id, and the members that it knows; empty when it cannot say */
  self: z.string().nullable(),
  members: list(z.object({ id: z.string(), name: z.string() }), 1000),
  figures: storeFiguresSchema,
  /** null: the store does not say */
  health: storeHealthSchema.nullable(),
});

export type Figures = z.output<typeof figuresSchema>;

/** Lines that answer. The last one is `end`, `rehearsed`, `written` or `figures`, or says why not. */
export const queryEventSchema = z.discriminatedUnion("type", [
  awaySchema,
  /** this server keeps no store of its own: the member with that number holds it */
  z.object({ type: z.literal("elsewhere"), holder: z.int().min(0).max(254), name: z.string().nullable() }),
  ...readLineSchemas,
  figuresSchema,
  z.object({ type: z.literal("written"), rowsAffected: z.int().min(0), version: z.int().nullable() }),
]);

export type QueryEvent = z.output<typeof queryEventSchema>;
