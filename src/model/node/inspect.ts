import { z } from "zod";
import { tracedRowSchema } from "../dns-trace.ts";
import { engineKindSchema } from "../node-spec.ts";
import { boundedText, list, reading } from "../schema.ts";

/**
 * `jiji node inspect`: what this server knows of a container that is called somehow, from its engine, its store and its
 * jiji-dns. Each of the three may be unknown while the others are not.
 */
export const inspectRequestSchema = z.object({
  /** id or the beginning of one, name, DNS name, instance or address; only with a full id is jiji-dns asked */
  container: z.string().min(1).max(300),
});

const texts = list(boundedText, 1000);

/** What is published of a container, or would be. */
const publishedSchema = z.object({
  project: boundedText,
  service: boundedText,
  instance: boundedText.nullable(),
  address: boundedText.nullable(),
  state: boundedText,
  /** `80/tcp` */
  ports: texts,
  name: boundedText,
  image: boundedText,
});

export type PublishedView = z.output<typeof publishedSchema>;

const engineSideSchema = z.object({
  /** as container-match.ts has it */
  rank: z.int(),
  id: boundedText,
  name: boundedText,
  image: boundedText,
  /** the engine's own words */
  state: boundedText,
  health: boundedText,
  /** on the network jiji; null: none, or not on it */
  address: boundedText.nullable(),
  isOnNetwork: z.boolean(),
  /** what its labels and state publish; null: nothing, `problems` says why */
  published: publishedSchema.nullable(),
  /** the state is decided by a check of the label jiji.check, so the engine's does not say it */
  hasCheck: z.boolean(),
  problems: texts,
});

export type EngineSide = z.output<typeof engineSideSchema>;

const rowSideSchema = publishedSchema.extend({
  rank: z.int(),
  serverId: boundedText,
  /** the owner's name; null: it is no member */
  server: boundedText.nullable(),
  n: z.int(),
  containerId: boundedText,
  rev: z.number(),
});

export type RowSide = z.output<typeof rowSideSchema>;

const dnsSideSchema = z.object({
  source: z.enum(["store", "saved", "none"]),
  rows: list(tracedRowSchema, 1000),
});

export type DnsSide = z.output<typeof dnsSideSchema>;

export const inspectAnswerSchema = z.object({
  type: z.literal("inspected"),
  /** `isNat`: it cannot be reached from outside, so another one like it has no path to it by configuration */
  server: z.object({ id: boundedText, name: boundedText, isNat: z.boolean() }),
  engineKind: engineKindSchema,
  engine: reading(list(engineSideSchema, 1000)),
  store: reading(list(rowSideSchema, 1000)),
  /** absent: it was not asked */
  dns: reading(dnsSideSchema),
  /** more fit than are shown */
  isCut: z.boolean(),
});

export type InspectAnswer = z.output<typeof inspectAnswerSchema>;
