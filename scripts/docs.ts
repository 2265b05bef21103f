// npm run docs: writes the documents, and the parts of documents, that follow from code and tests.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generatedDocuments } from "./docs/generated-documents.ts";
import { repository } from "./test-run/bounded-process.ts";

for (const { path, render } of generatedDocuments) {
  const file = join(repository, path);
  const current = readFileSync(file, "utf8");
  const text = render(current);
  if (text === current) continue;
  writeFileSync(file, text);
  console.log(`written: ${path}`);
}
