import { expect, test } from "bun:test";
import fc from "fast-check";
import { diffLines } from "./line-diff.ts";

test("what goes and what comes, in order; what stays is left out", () => {
  expect(diffLines("a\nb\nc\nd\n", "a\nc\nx\nd\n")).toEqual(["- b", "+ x"]);
  expect(diffLines("a\n", "a\n")).toEqual([]);
  expect(diffLines("", "a\n")).toEqual(["+ a"]);
});

test("its lines turn the one text into the other, as sets of lines with counts", () => {
  const lines = fc.array(fc.constantFrom("a", "b", "c", ""), { maxLength: 12 }).map((all) => all.join("\n"));
  const count = (text: string): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const line of text.split("\n")) counts.set(line, (counts.get(line) ?? 0) + 1);
    return counts;
  };
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const counts = count(before);
      for (const line of diffLines(before, after)) {
        const text = line.slice(2);
        counts.set(text, (counts.get(text) ?? 0) + (line.startsWith("+") ? 1 : -1));
      }
      const left = new Map([...counts].filter(([, n]) => n !== 0));
      expect(left).toEqual(count(after));
      expect(diffLines(before, before)).toEqual([]);
    }),
  );
});

test("very long changes are counted, not compared", () => {
  const many = Array.from({ length: 1000 }, (_, index) => `line ${index}`).join("\n");
  expect(diffLines(many, "x")).toEqual(["1000 lines become 1"]);
});
