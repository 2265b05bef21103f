import { expect, test } from "bun:test";
import { compareVersions, parseVersion } from "./semantic-version.ts";

test("the order of Semantic Versioning, as its own text gives it", () => {
  const ordered = [
    "0.9.12",
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
  const parsed = ordered.map((text) => parseVersion(text)!);
  for (const [i, a] of parsed.entries()) {
    for (const [j, b] of parsed.entries()) expect(Math.sign(compareVersions(a, b))).toBe(Math.sign(i - j));
  }
  expect(compareVersions(parseVersion("1.0.0+a")!, parseVersion("1.0.0+b")!)).toBe(0);
});

test.each(["", "1.2", "v1.2.3", "1.2.3.4", "1.2.x", "klukai 0.1.4"])("%p is no version", (text) => {
  expect(parseVersion(text)).toBeUndefined();
});
