import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** docs/dns-contract.md names tests that exist, so that a promise without a test is seen. */
const repository = join(import.meta.dir, "..", "..");
const lines = readFileSync(join(repository, "docs/dns-contract.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| promise") && !line.startsWith("| ---"));

const promises = lines.map((line) => {
  const [promise = "", holders = ""] = line.slice(2).split(" | ");
  return { promise, holders: holders.replace(/ \|\s*$/, "") };
});

/** `` `file` › name; `file` › name ``: a name may hold a semicolon, so a new one begins with a file. */
function testsOf(holders: string): { readonly file: string; readonly name: string }[] {
  return holders.split(/; (?=`)/).flatMap((text) => {
    const [, file = "", name = ""] = /^`([^`]+)` › (.+)$/.exec(text) ?? [];
    return file === "" ? [] : [{ file, name }];
  });
}

test("there are promises", () => {
  expect(promises.length).toBeGreaterThan(50);
});

describe.each(promises)("$promise", ({ holders }) => {
  test("is held by tests that exist, or says that none does", () => {
    const named = testsOf(holders);
    if (named.length === 0) expect(holders).toStartWith("no test");
    for (const { file, name } of named) {
      const path = join(repository, file);
      expect({ file, exists: existsSync(path) }).toEqual({ file, exists: true });
      // The name stands in the source as a text of its own.
      expect({ name, stands: readFileSync(path, "utf8").includes(`"${name}"`) }).toEqual({ name, stands: true });
    }
  });
});
