import { z } from "zod";
import { storeFiguresSchema } from "../store-figures.ts";
import { awaySchema, queryRequestSchema, readLineSchemas } from "./query.ts";

/** `jiji node store-reader`: what the unprivileged reader is told: the file, and what is wanted of it. */
export const readerRequestSchema = z.object({ path: z.string(), request: queryRequestSchema });

/** Lines that answer `jiji node query`, which completes `away` and `figures`. */
export const readerEventSchema = z.discriminatedUnion("type", [
  awaySchema,
  ...readLineSchemas,
  z.object({ type: z.literal("figures"), figures: storeFiguresSchema }),
]);

export type ReaderEvent = z.output<typeof readerEventSchema>;
