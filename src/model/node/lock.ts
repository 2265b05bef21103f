import { z } from "zod";
import { boundedText } from "../schema.ts";

/** `jiji node lock`: takes the server's lock and holds it while standard input is open. */
export const lockRequestSchema = z.object({
  /** who asks, for the other side's message: user@host, command, time */
  holder: z.string().max(500),
});

/** The one line that answers. */
export const lockEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("held") }),
  z.object({
    type: z.literal("busy"),
    /** what the other one gave as its own description */
    holder: boundedText,
  }),
]);
