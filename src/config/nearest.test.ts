import { expect, test } from "bun:test";
import fc from "fast-check";
import { editDistance, nearest } from "./nearest.ts";

test("known distances", () => {
  expect(editDistance("", "")).toBe(0);
  expect(editDistance("abc", "")).toBe(3);
  expect(editDistance("kitten", "sitting")).toBe(3);
  expect(editDistance("servres", "servers")).toBe(1);
  expect(editDistance("hots", "host")).toBe(1);
});

test("a distance is symmetric, zero only for equal words, and never above the longer word", () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      expect(distance).toBe(editDistance(b, a));
      expect(distance === 0).toBe(a === b);
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});

test("the nearest word, or none", () => {
  const known = ["host", "user", "port", "private_keys", "keys_only"];
  expect(nearest("hots", known)).toBe("host");
  expect(nearest("private-keys", known)).toBe("private_keys");
  expect(nearest("PORT", known)).toBe("port");
  expect(nearest("something", known)).toBeUndefined();
  expect(nearest("x", [])).toBeUndefined();
});
