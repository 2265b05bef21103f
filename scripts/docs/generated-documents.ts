import { readFileSync } from "node:fs";
import { join } from "node:path";
import { deployJsonSchema } from "../../src/config/schema.ts";
import { repository } from "../test-run/bounded-process.ts";
import { fillFindings } from "./findings-table.ts";
import { fillHolders } from "./holders.ts";
import { findTaggedTests, type TaggedTest } from "./tagged-tests.ts";

/** A file that `npm run docs` writes; a test of the repository compares it. */
export interface GeneratedDocument {
  /** relative to the repository */
  readonly path: string;
  /** The whole new text, made from the current one: what is written by hand stays. */
  readonly render: (current: string) => string;
}

/** In this order, though none depends on another. */
export const generatedDocuments: readonly GeneratedDocument[] = [
  { path: "docs/deploy.schema.json", render: () => `${JSON.stringify(deployJsonSchema(), null, 2)}\n` },
  { path: "docs/dns-contract.md", render: (current) => fillHolders(current, testsTagged("dns-contract")) },
  { path: "docs/security-tests.md", render: (current) => fillHolders(current, testsTagged("security-tests")) },
  { path: "docs/troubleshooting.md", render: fillFindings },
];

function testsTagged(document: TaggedTest["document"]): readonly TaggedTest[] {
  return [...new Bun.Glob("{src,tools,lab,bench,scripts,test}/**/*.test.ts").scanSync(repository)]
    .toSorted()
    .flatMap((file) => findTaggedTests(file, readFileSync(join(repository, file), "utf8")))
    .filter((tagged) => tagged.document === document);
}
