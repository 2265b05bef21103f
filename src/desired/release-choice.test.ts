import { expect, test } from "bun:test";
import { compareVersions } from "./release-choice.ts";

test("versions are compared by their numbers", () => {
  expect(compareVersions("2.36", "2.4")).toBeGreaterThan(0);
  expect(compareVersions("0.10.0", "0.9.9")).toBeGreaterThan(0);
  expect(compareVersions("1.0", "1.0.0")).toBe(0);
  expect(compareVersions("0.1.0", "0.1.1")).toBeLessThan(0);
});
