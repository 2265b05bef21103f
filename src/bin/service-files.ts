import { readFileSync } from "node:fs";
import { z } from "zod";
import { JijiError, messageOf } from "../model/errors.ts";
import { Secret } from "../model/secret.ts";

/** Loads a service's settings file. Throws a {@link JijiError} that names the file and each wrong key. */
export function loadSettings<Schema extends z.ZodType>(path: string, schema: Schema): z.output<Schema> {
  const hint = "run jiji network setup for this server, which writes the file";
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new JijiError("config", `${path}: ${messageOf(error)}`, { hint });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new JijiError("config", `${path}: ${z.prettifyError(parsed.error)}`, { hint });
}

/** Loads a bearer token that stands alone in a file. Throws a {@link JijiError}; the token is in no message. */
export function loadTokenFile(path: string): Secret {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new JijiError("config", `${path}: ${messageOf(error)}`, {
      hint: "the file holds the store's bearer token; on a server, jiji network setup makes it",
    });
  }
  if (/^[\x21-\x7e]{1,512}$/.test(text)) return new Secret(text);
  throw new JijiError("config", `${path}: the token is empty, or has a character that no header can carry`, {
    hint: "write the token alone on one line",
  });
}
