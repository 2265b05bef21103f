import { z } from "zod";
import { engineKindSchema } from "./node-spec.ts";

/** What root may ask the server's own agent on its control socket (0600): one JSON line as request, one as answer. */
export const agentRequestSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("status") }),
  z.object({
    type: z.literal("drain"),
    /** full id, unique beginning of one, or name of a container on this server */
    container: z.string().min(1).max(300),
    /** ends an earlier drain */
    undo: z.boolean().default(false),
  }),
  z.object({
    type: z.literal("recheck"),
    /** the member that is asked; absent: this server */
    server: z.string().optional(),
  }),
]);

export type AgentRequest = z.input<typeof agentRequestSchema>;

/** A request as it arrives, checked. */
export type CheckedRequest = z.output<typeof agentRequestSchema>;

const peerSchema = z.object({
  id: z.string(),
  /** it answers probes, or did so recently enough to count */
  isHeard: z.boolean(),
  /** its containers may be answered from here */
  counts: z.boolean(),
  /** its server answers, its agent does not */
  isAgentDown: z.boolean(),
  /** it has compared its rows with its engine since it booted */
  isReady: z.boolean(),
  /** neither side can be reached from outside: no path by configuration */
  isApart: z.boolean(),
  roundTripMs: z.number().nullable(),
  lossPercent: z.number().nullable(),
});

/** What the agent did, which `jiji node drain` passes on. */
export const drainedSchema = z.object({
  type: z.literal("drained"),
  containerId: z.string().max(100),
  name: z.string().max(1000),
  /** what the agent holds from now on */
  isDraining: z.boolean(),
});

export const agentAnswerSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("status"),
    /** the rows were compared with the engine since this server booted */
    ready: z.boolean(),
    /** as far as is known, the store agrees with the engine */
    settled: z.boolean(),
    engine: z.object({ kind: engineKindSchema, isAnswering: z.boolean() }),
    /** containers on the network, and how many of them have a row */
    containers: z.object({ known: z.int(), published: z.int() }),
    peers: z.array(peerSchema),
    /** datagrams that were discarded, by reason */
    dropped: z.record(z.string(), z.int()),
  }),
  drainedSchema,
  z.object({ type: z.literal("asked") }),
  z.object({
    type: z.literal("refused"),
    why: z.string(),
    /** several containers fit: their ids and names */
    candidates: z.array(z.object({ id: z.string(), name: z.string() })).default([]),
  }),
]);

export type AgentAnswer = z.infer<typeof agentAnswerSchema>;
