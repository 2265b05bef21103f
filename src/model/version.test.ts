import { expect, test } from "bun:test";
import { isOlderVersion } from "./version.ts";

test("the order of Semantic Versioning, as its own text gives it", () => {
  const ordered = [
    "0.1.10",
    "0.2.0-rc.1",
    "0.2.0-rc.2",
    "0.2.0-rc.10",
    "0.2.0",
    "0.10.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.2.0",
  ];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries())
      expect({ a, b, older: isOlderVersion(a, b) }).toEqual({ a, b, older: i < j });
  }
});

test.each([
  ["1.0.0+a", "1.0.0+b"],
  ["1.0.0-rc.1+a", "1.0.0-rc.1"],
  ["20.10.24+dfsg1", "20.10.24"],
  ["v1.0.0", "1.0.0"],
  ["2.36", "2.36.0"],
  ["0", "0.0.0"],
])("%p and %p are the same", (a, b) => {
  expect([isOlderVersion(a, b), isOlderVersion(b, a)]).toEqual([false, false]);
});

test.each([
  ["2.4", "2.36"],
  ["2.36", "2.36.1"],
  ["0", "2.17"],
  ["4.3.1", "4.3.10"],
])("%p is older than %p", (a, b) => {
  expect([isOlderVersion(a, b), isOlderVersion(b, a)]).toEqual([true, false]);
});

test.each(["", "1.2.3.4", "development", "klukai 0.1.4", "5.0.0~rc1", "0.2.0.beta"])("%p is not judged", (text) => {
  expect([isOlderVersion(text, "1.0.0"), isOlderVersion("1.0.0", text)]).toEqual([false, false]);
});
