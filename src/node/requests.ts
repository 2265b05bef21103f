import type { z } from "zod";
import { JijiError } from "../model/errors.ts";

/** Longest request: 255 signed records and a spec are well below it. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** Reads a request; the text itself never becomes part of the error, as it may hold a token. */
export function parseRequest<T extends z.ZodType>(schema: T, text: string): z.output<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new JijiError("usage", "the request is not JSON", { hint: "jiji node is meant for the CLI, not for people" });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map(({ path }) => path.join(".") || "its shape").join(", ");
  throw new JijiError("usage", `the request was refused: ${where} is malformed`, {
    hint: "use the same release of jiji on both sides",
  });
}
