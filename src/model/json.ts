import { z } from "zod";

/** What a text in JSON says, if it fits the schema; undefined for one that does not, and for what is no JSON. */
export function parseJson<T = unknown>(
  text: string,
  schema: z.ZodType<T> = z.unknown() as z.ZodType<T>,
): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
