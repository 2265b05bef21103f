import { z } from "zod";
import { boundedText } from "../schema.ts";

/** What every subcommand of `jiji node` may say instead of its answer, or after a part of it: why there is no more. */
export const failureSchema = z.object({
  type: z.literal("failed"),
  message: boundedText,
  hint: boundedText.exactOptional(),
});

export type Failure = z.output<typeof failureSchema>;
