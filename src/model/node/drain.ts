import { z } from "zod";

/** `jiji node drain`: has this server's agent hide one of its containers from all answers, or show it again. */
export const drainRequestSchema = z.object({
  container: z.string().regex(/^[0-9a-f]{64}$/),
  undo: z.boolean(),
});

export const drainAnswerSchema = z.object({
  type: z.literal("drained"),
  containerId: z.string().max(100),
  name: z.string().max(1000),
  /** what the agent holds from now on */
  isDraining: z.boolean(),
});
