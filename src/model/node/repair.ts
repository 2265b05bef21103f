import { z } from "zod";

/** `jiji node repair`: makes a server what its own files say. It has no request and reads no input. */
export const repairRequestSchema = z.null();

/** Lines for the journal; the last one is `done`. */
export const repairEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("progress"), line: z.string() }),
  z.object({ type: z.literal("done"), notes: z.array(z.string()) }),
]);
