import { z } from "zod";
import type { Reading } from "./reading.ts";

/** Text that a parser reads, as what it gives. Anything else is refused with what `mistake` says of it. */
export const branded = <T>(parse: (text: string) => T | undefined, mistake?: (text: string) => string) =>
  z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: mistake?.(text) ?? "malformed", continue: true });
    return z.NEVER;
  });

/** Text from another machine, short enough for a line of an answer. */
export const boundedText = z.string().max(10_000);

/** A list of at most `max` items that nobody changes afterwards. */
export const list = <Item extends z.ZodType>(item: Item, max: number) => z.array(item).max(max).readonly();

/** A {@link Reading} as JSON. */
export const reading = <T>(value: z.ZodType<T>): z.ZodType<Reading<T>> =>
  z.discriminatedUnion("state", [
    z.object({ state: z.literal("found"), value }),
    z.object({ state: z.literal("absent") }),
    z.object({ state: z.literal("unknown"), why: boundedText }),
  ]);
