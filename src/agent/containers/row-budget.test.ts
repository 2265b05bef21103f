import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ContainerRecord, ContainerState } from "../../model/container-record.ts";
import type { RowChange } from "./mirror.ts";
import { CHANGES_PER_SECOND, RowBudget } from "./row-budget.ts";

const record = (state: ContainerState): ContainerRecord => ({ state }) as unknown as ContainerRecord;

function change(n: number, before: ContainerState | undefined, after: ContainerState | undefined): RowChange {
  return {
    n,
    rev: 1,
    record: after === undefined ? undefined : record(after),
    text: after ?? "",
    previous: before === undefined ? undefined : record(before),
  };
}

const appears = (n: number): RowChange => change(n, undefined, "healthy");

describe("what one server's containers may make the others do", () => {
  test("is bounded over any history: a burst, and so many a second", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 300 })), {
      maxLength: 50,
    });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 512 }), (history, burst) => {
        const budget = new RowBudget(0, burst);
        let [nowMs, taken] = [0, 0];
        for (const [pauseMs, wanted] of history) {
          nowMs += pauseMs;
          const changes = Array.from({ length: wanted }, (_, n) => appears(n));
          taken += budget.take(changes, nowMs).length;
          expect(taken).toBeLessThanOrEqual(burst + (nowMs / 1000) * CHANGES_PER_SECOND);
        }
      }),
    );
  });

  test("is not lost: what is asked for again and again is done in the end", () => {
    const budget = new RowBudget(0);
    const waiting = new Set(Array.from({ length: 253 }, (_, n) => n));
    let nowMs = 0;
    for (; waiting.size > 0 && nowMs < 60_000; nowMs += 50) {
      for (const { n } of budget.take(
        [...waiting].map((n) => appears(n)),
        nowMs,
      ))
        waiting.delete(n);
    }
    expect(waiting.size).toBe(0);
    expect(nowMs).toBeLessThanOrEqual((253 / CHANGES_PER_SECOND) * 1000);
  });

  test("one restless container does not keep another's change back", () => {
    const budget = new RowBudget(0);
    const restless = [0, 1, 2].map((n) => change(n, "starting", "healthy"));
    for (let i = 0; i < 20; i++) budget.take(restless, i);
    const taken = budget.take([...restless, appears(9)], 100);
    expect(taken.map(({ n }) => n)).toEqual([9]);
  });

  test("hiding a container comes before everything else", () => {
    const budget = new RowBudget(0, 1);
    const changes = [appears(0), change(1, "starting", "unhealthy"), change(2, "healthy", "draining")];
    expect(budget.take(changes, 0).map(({ n }) => n)).toEqual([2]);
  });
});
