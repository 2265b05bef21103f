import { describe, expect, test } from "bun:test";
import { takeUsualPriority } from "./thread-priority.ts";

function threadAt(nice: number) {
  const seen = [nice];
  return { seen, get: () => seen.at(-1) ?? Number.NaN, set: (to: number) => void seen.push(to) };
}

describe("the main thread's priority", () => {
  test("comes down to the usual one", () => {
    const thread = threadAt(-12);
    takeUsualPriority(thread);
    expect(thread.get()).toBe(0);
  });

  test.each([0, 7])("stays where it is at %i: somebody wanted it so", (nice) => {
    const thread = threadAt(nice);
    takeUsualPriority(thread);
    expect(thread.seen).toEqual([nice]);
  });
});
