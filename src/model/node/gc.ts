import { z } from "zod";
import { parseServerId } from "../keys.ts";
import { branded, list } from "../schema.ts";

const id = branded(parseServerId);

/** Removed servers of one request. */
export const MAX_COLLECTED = 1000;

/** Members of one request whose agents are asked through another's. */
export const MAX_RECHECKED = 300;

/** `jiji node gc`: which rows of the store may be stale as one server sees it, and what to do about them. */
export const gcRequestSchema = z.discriminatedUnion("action", [
  /** never writes */
  z.object({ action: z.literal("observe") }),
  z.object({
    action: z.literal("collect"),
    /**
     * servers that were removed: their numbers become free in this server's members.json. An empty name: only the store says
     * so, and members.json is left alone
     */
    removed: list(z.object({ id, name: z.string().max(100) }), MAX_COLLECTED),
    /** delete their rows through this server's store, too */
    deleteRows: z.boolean(),
    /** have this server's agent compare its own rows with its engine */
    recheckOwn: z.boolean(),
    /** members whose agents are asked to do so through this one's */
    recheckOthers: list(id, MAX_RECHECKED),
  }),
]);

export type GcRequest = z.input<typeof gcRequestSchema>;
export type CollectRequest = Extract<z.output<typeof gcRequestSchema>, { action: "collect" }>;

/** A row of the store that its owner may not stand for any more. */
const rowSchema = z.object({
  table: z.enum(["containers", "servers"]),
  /** the server that the row belongs to, as the row says */
  owner: z.string().max(100),
  /** of a container row; null: a server's row */
  n: z.number().nullable(),
  /** what it names: `shop / api`, or a server's name; null: it holds no record */
  what: z.string().max(200).nullable(),
  containerId: z.string().max(100).nullable(),
  /** `absent`: this server is the owner, its engine answers, and there is no such container on the network */
  why: z.enum(["absent", "not a member"]),
});

export type GcRow = z.output<typeof rowSchema>;

const seenSchema = z.object({
  type: z.literal("seen"),
  /** this server; null: it has no identity that can be read */
  self: id.nullable(),
  /** rows of others than members beyond those that were listed */
  unlisted: z.number().min(0),
  members: list(z.object({ id, name: z.string(), subnet: z.int() }), 1000),
  /** as members.json has them, so as an operator brought them */
  removed: list(z.object({ id, name: z.string(), subnet: z.int().nullable() }), 10_000),
  /** ids in the store's table of removed servers, which any member can write */
  tombstones: list(z.string().max(100), 1000),
  /** why the own rows could not be compared with the engine; null: they were */
  uncompared: z.string().nullable(),
});

export type GcSeen = z.output<typeof seenSchema>;

const doneSchema = z.object({
  type: z.literal("collected"),
  /** rows deleted through this server's store; null: it was not asked to */
  deleted: z.object({ containers: z.number().min(0), servers: z.number().min(0) }).nullable(),
  /** removed servers whose numbers are free on this server from now on */
  freed: list(z.string(), 1000),
  /** own rows that are stale still, after the agent has looked; null: it was not asked to */
  left: z.number().min(0).nullable(),
  /** members whose agents were asked through this one's */
  asked: list(z.string(), 300),
  problems: list(z.string(), 1000),
});

export type GcDone = z.output<typeof doneSchema>;

/** Lines that answer: to `observe` any number of `rows`, then `seen`; to `collect` only `collected`. */
export const gcLineSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("rows"), rows: list(rowSchema, 1000) }),
  seenSchema,
  doneSchema,
]);

export type GcLine = z.output<typeof gcLineSchema>;
