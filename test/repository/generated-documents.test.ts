import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { generatedDocuments } from "../../scripts/docs/generated-documents.ts";

test.each([...generatedDocuments])("$path is as `npm run docs` writes it", ({ path, render }) => {
  const committed = readFileSync(join(import.meta.dir, "..", "..", path), "utf8");
  expect(render(committed)).toBe(committed);
});
