import { readFileSync } from "node:fs";
import { z } from "zod";
import { JijiError } from "../model/errors.ts";

/** Reads a service's settings file. Throws a {@link JijiError} that names the file and each wrong key. */
export function readSettings<Schema extends z.ZodType>(path: string, schema: Schema): z.output<Schema> {
  const hint = "run jiji network setup for this server, which writes the file";
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new JijiError("config", `${path}: ${error instanceof Error ? error.message : String(error)}`, { hint });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new JijiError("config", `${path}: ${z.prettifyError(parsed.error)}`, { hint });
}
