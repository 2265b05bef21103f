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

/** Whether the text is the title of a test that runs: of `test(…)`, or of `test.each(…)(…)` and the like. */
function hasTest(source: string, title: string): boolean {
  const literal = `"${title}"`;
  for (let at = source.indexOf(literal); at >= 0; at = source.indexOf(literal, at + 1)) {
    const before = source.slice(0, at);
    const [call] = [...before.matchAll(/\b(?:test|it|describe)(?:\.\w+)*\(/g)].slice(-1);
    if (call === undefined || !/^(?:test|it)(?:\.(?:each|if|serial|concurrent))*\($/.test(call[0])) continue;
    const between = before.slice(call.index + call[0].length).trim();
    if (between === "" || between.endsWith(")(")) return true;
  }
  return false;
}

test("a title counts that is a running test's, and no other text", () => {
  for (const source of [
    'test("a b", () => {',
    'test(\n  "a b",',
    'test.each([\n  [f(1)],\n])("a b", (',
    'test.if(x())("a b",',
  ])
    expect({ source, has: hasTest(source, "a b") }).toEqual({ source, has: true });
  for (const source of ['describe("a b", () => {', 'test.skip("a b", ', 'test.todo("a b")', 'describe.each([1])("a b"'])
    expect({ source, has: hasTest(source, "a b") }).toEqual({ source, has: false });
  expect(hasTest('test("c", () => {\n  say("a b");', "a b")).toBe(false);
  expect(hasTest('test("c", () => {\n  const text = "a b";', "a b")).toBe(false);
});

test("there are promises", () => {
  expect(promises.length).toBeGreaterThan(50);
});

describe.each(promises)("$promise", ({ holders }) => {
  test("is held by tests that exist, or says where it is measured, or that no test holds it", () => {
    const named = testsOf(holders);
    const [, measured] = /^measured: `([^`]+)`$/.exec(holders) ?? [];
    if (measured !== undefined) expect(existsSync(join(repository, measured))).toBe(true);
    else if (named.length === 0) expect(holders).toStartWith("no test");
    for (const { file, name } of named) {
      const path = join(repository, file);
      expect({ file, exists: existsSync(path) }).toEqual({ file, exists: true });
      expect({ name, isTest: hasTest(readFileSync(path, "utf8"), name) }).toEqual({ name, isTest: true });
    }
  });
});
