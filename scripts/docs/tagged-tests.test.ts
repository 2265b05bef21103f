import { expect, test } from "bun:test";
import { fillHolders } from "./holders.ts";
import { findTaggedTests } from "./tagged-tests.ts";

const tag = "// dns-contract: tc, tcp-whole\n";

test.each([
  ['test("a b", () => {', "a b"],
  ['test(\n  "a b",', "a b"],
  ['describe.each(rows)("a b",', "a b"],
  ['test.each([\n  [f(1), ")"], // )\n])("a b", (', "a b"],
  ['test.if(x())("a b",', "a b"],
  ['test.skipIf(x() !== 0).each([f("(")])("a b",', "a b"],
  ["// why it is so\n  test.serial(`a \\`b\\``, ", "a `b`"],
])("a tag belongs to the test below it: %j", (source, title) => {
  const expected = [{ document: "dns-contract" as const, ids: ["tc", "tcp-whole"], file: "x.test.ts", title }];
  expect(findTaggedTests("x.test.ts", `a();\n  ${tag}  ${source}`)).toEqual(expected);
});

test.each(['describe.skip("a b", () => {', 'test.skip("a b", ', 'test.todo("a b")', "const a = 1;"])(
  "a tag above something else is refused: %s",
  (source) => {
    expect(() => findTaggedTests("x.test.ts", `${tag}${source}`)).toThrow(/^x\.test\.ts: no test that runs follows/);
  },
);

const held = { document: "dns-contract" as const, file: "x.test.ts" };
const table = "# Title\n\n| id | promise | held by |\n| --- | --- | --- |\n| tc | TC is set | old |\n";

test("the last column names the tests, the rest stays", () => {
  const tests = [
    { ...held, ids: ["tc"], title: "a|b" },
    { ...held, ids: ["tc"], title: "c" },
  ];
  const filled = fillHolders(`${table}| speed | is measured | measured: \`x.md\` |\n`, tests);
  expect(filled).toBe(
    `${table.replace("old", "`x.test.ts` › a\\|b<br>`x.test.ts` › c")}| speed | is measured | measured: \`x.md\` |\n`,
  );
  expect(fillHolders(filled, tests)).toBe(filled);
});

test("a promise that no test holds, and a tag that no promise has, are refused", () => {
  expect(() => fillHolders(table, [])).toThrow("no test is tagged tc");
  const tests = [{ ...held, ids: ["tc", "gone"], title: "a" }];
  expect(() => fillHolders(table, tests)).toThrow("no row has the id that a test is tagged with: gone (x.test.ts)");
  expect(() => fillHolders(table + table, tests)).toThrow("the id tc stands twice");
});
