// npm run schema: writes docs/deploy.schema.json, the JSON Schema of deploy.yml for editors, from jiji's own schema.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { deployJsonSchema } from "../src/config/json-schema.ts";

writeFileSync(
  join(import.meta.dir, "..", "docs", "deploy.schema.json"),
  `${JSON.stringify(deployJsonSchema(), null, 2)}\n`,
);
