import { z } from "zod";
import { deploySchema } from "./schema.ts";

/** JSON Schema (draft 2020-12) of deploy.yml for editors, made from the schema that jiji itself checks with. */
export function deployJsonSchema(): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(deploySchema, { io: "input", target: "draft-2020-12" });
  return { title: "jiji deploy.yml", ...schema };
}
