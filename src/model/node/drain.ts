import { z } from "zod";

/** `jiji node drain`: has this server's agent hide one of its containers from all answers, or show it again. */
export const drainRequestSchema = z.object({
  container: z.string().regex(/^[0-9a-f]{64}$/),
  undo: z.boolean(),
});
