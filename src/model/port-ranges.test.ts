import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatPortRanges,
  parsePortRanges,
  rangesOfPorts,
  subtractPortRanges,
  unitePortRanges,
} from "./port-ranges.ts";

const parse = (text: string): ReturnType<typeof unitePortRanges> => {
  const ranges = parsePortRanges(text);
  if (ranges === undefined) throw new Error(`${text} is no list of ports`);
  return ranges;
};

test("reads what the kernel prints, and prints it the same way", () => {
  for (const text of ["", "8080", "8080,31280-31282", "1-65535"])
    expect(formatPortRanges(parse(`${text}\n`))).toBe(text);
});

test("joins what overlaps or touches", () => {
  expect(formatPortRanges(parse("10-20,15-30,31,40"))).toBe("10-31,40");
});

test.each(["a", "1-", "-1", "2-1", "1,,2", "70000", "1 2"])("%p is no list of ports", (text) => {
  expect(parsePortRanges(text)).toBeUndefined();
});

test("single ports: neighbours are a range, others are not", () => {
  expect(formatPortRanges(rangesOfPorts([31282, 31280, 31281]))).toBe("31280-31282");
  expect(formatPortRanges(rangesOfPorts([31282, 31290, 31281]))).toBe("31281-31282,31290");
});

test("union and difference are those of sets of ports", () => {
  const range = fc.tuple(fc.nat(40), fc.nat(40)).map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);
  const ports = (ranges: readonly (readonly [number, number])[]): number[] =>
    [...new Set(ranges.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, index) => a + index)))].toSorted(
      (a, b) => a - b,
    );
  fc.assert(
    fc.property(fc.array(range, { maxLength: 5 }), fc.array(range, { maxLength: 5 }), (a, b) => {
      const [left, right] = [new Set(ports(a)), new Set(ports(b))];
      expect(ports(unitePortRanges(a, b))).toEqual([...left.union(right)].toSorted((x, y) => x - y));
      expect(ports(subtractPortRanges(a, b))).toEqual([...left.difference(right)].toSorted((x, y) => x - y));
      expect(parsePortRanges(formatPortRanges(a))).toEqual(unitePortRanges(a, []));
    }),
  );
});
