import { z } from "zod";
import { tracedRowSchema } from "./dns-trace.ts";
import type { Reading } from "./reading.ts";

/**
 * `jiji node inspect`: what this server knows of a container that is called somehow, from its engine, its store and its
 * jiji-dns. Each of the three may be unknown while the others are not.
 */
export const inspectRequestSchema = z.object({
  /** id or the beginning of one, name, DNS name, instance or address; only with a full id is jiji-dns asked */
  container: z.string().min(1).max(300),
});

export type InspectRequest = z.input<typeof inspectRequestSchema>;

const text = z.string().max(10_000);
const texts = z.array(text).max(1000);

const reading = <T>(value: z.ZodType<T>): z.ZodType<Reading<T>> =>
  z.discriminatedUnion("state", [
    z.object({ state: z.literal("found"), value }),
    z.object({ state: z.literal("absent") }),
    z.object({ state: z.literal("unknown"), why: text }),
  ]);

/** What is published of a container, or would be. */
const publishedSchema = z.object({
  project: text,
  service: text,
  instance: text.nullable(),
  address: text.nullable(),
  state: text,
  /** `80/tcp` */
  ports: texts,
  name: text,
  image: text,
});

export type PublishedView = z.infer<typeof publishedSchema>;

const engineSideSchema = z.object({
  /** as container-match.ts has it */
  rank: z.int(),
  id: text,
  name: text,
  image: text,
  /** the engine's own words */
  state: text,
  health: text,
  /** on the network jiji; null: none, or not on it */
  address: text.nullable(),
  isOnNetwork: z.boolean(),
  /** what its labels and state publish; null: nothing, `problems` says why */
  published: publishedSchema.nullable(),
  /** the state is decided by a check of the label jiji.check, so the engine's does not say it */
  hasCheck: z.boolean(),
  problems: texts,
});

export type EngineSide = z.infer<typeof engineSideSchema>;

const rowSideSchema = publishedSchema.extend({
  rank: z.int(),
  serverId: text,
  /** the owner's name; null: it is no member */
  server: text.nullable(),
  n: z.int(),
  containerId: text,
  rev: z.number(),
});

export type RowSide = z.infer<typeof rowSideSchema>;

const dnsSideSchema = z.object({
  source: z.enum(["store", "saved", "none"]),
  rows: z.array(tracedRowSchema).max(1000),
});

export type DnsSide = z.infer<typeof dnsSideSchema>;

export const inspectAnswerSchema = z.object({
  type: z.literal("inspected"),
  /** `isNat`: it cannot be reached from outside, so another one like it has no path to it by configuration */
  server: z.object({ id: text, name: text, isNat: z.boolean() }),
  engineKind: z.enum(["docker", "podman"]),
  engine: reading(z.array(engineSideSchema).max(1000)),
  store: reading(z.array(rowSideSchema).max(1000)),
  /** absent: it was not asked */
  dns: reading(dnsSideSchema),
  /** more fit than are shown */
  isCut: z.boolean(),
});

export type InspectAnswer = z.infer<typeof inspectAnswerSchema>;
