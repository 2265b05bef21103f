import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** docs/security-tests.md: each line of what must hold names tests that are there. */
const repository = join(import.meta.dir, "..", "..");

interface Named {
  readonly file: string;
  readonly title: string;
}

const rows = readFileSync(join(repository, "docs/security-tests.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| ") && !/^\| (---|what must hold)/.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replaceAll(/^\| | \|$/g, "").trim()));

/** "`file`: title; title. `file`: title" */
function namedTests(cell: string): readonly Named[] {
  const parts = [...cell.matchAll(/`([\w./-]+\.test\.ts)`: (.*?)(?=\. `[\w./-]+\.test\.ts`: |$)/g)];
  return parts.flatMap(([, file = "", titles = ""]) => titles.split("; ").map((title) => ({ file, title })));
}

/** Titles as they stand in the source, whatever quotes they have. */
function hasTest({ file, title }: Named): boolean {
  const path = join(repository, file);
  if (!existsSync(path)) return false;
  const source = readFileSync(path, "utf8").replaceAll("\\`", "`");
  return ['"', "`", "'"].some((quote) => source.includes(`${quote}${title}${quote}`));
}

test.each(rows)("%s", (_what, shown = "") => {
  const named = namedTests(shown);
  expect(named).not.toEqual([]);
  expect(named.filter((each) => !hasTest(each))).toEqual([]);
});

test("there are lines at all", () => {
  expect(rows.length).toBeGreaterThan(25);
});
