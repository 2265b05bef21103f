import { describe, expect, test } from "bun:test";
import { leavePriorityTo, OWN_THREADS, ownThread, type Threads } from "./thread-priority.ts";

function threadsAt(nices: Record<number, number>, isAllowed = true): Threads & { readonly nices: Map<number, number> } {
  const known = new Map(Object.entries(nices).map(([thread, nice]) => [Number(thread), nice]));
  return {
    nices: known,
    list: () => [...known.keys()],
    nice: (thread) => known.get(thread) ?? Number.NaN,
    setNice: (thread, nice) => {
      if (!isAllowed) throw new Error("EPERM");
      known.set(thread, nice);
    },
  };
}

describe("a better priority than usual", () => {
  test("is left to the packet threads alone", () => {
    const threads = threadsAt({ 1: -12, 2: -12, 3: -12, 4: -12 });
    leavePriorityTo(new Set([2, 4]), threads);
    expect([...threads.nices]).toEqual([
      [1, 0],
      [2, -12],
      [3, 0],
      [4, -12],
    ]);
  });

  test("that nobody has is none that could be left, and who wanted less keeps it", () => {
    const threads = threadsAt({ 1: 0, 2: 7 }, false);
    leavePriorityTo(new Set(), threads);
    expect([...threads.nices.values()]).toEqual([0, 7]);
  });

  test.if(process.platform === "linux")("threads have their numbers", () => {
    expect(ownThread()).toBe(process.pid);
    expect(OWN_THREADS.list()).toContain(process.pid);
    expect(OWN_THREADS.nice(process.pid)).toBeNumber();
  });

  // A real thread; to give it more than the usual priority takes rights.
  test.if(process.platform === "linux" && process.getuid?.() === 0)(
    "a thread that has ended meanwhile is no problem",
    () => {
      const threads = { ...OWN_THREADS, list: () => [2 ** 22 - 1] };
      expect(() => leavePriorityTo(new Set(), threads)).not.toThrow();
    },
  );
});
