import { expect, test } from "bun:test";
import fc from "fast-check";
import { Allowance } from "./allowance.ts";

test("never more than the burst and what the time gives, and never less when it is spent slowly", () => {
  const pauses = fc.array(fc.nat({ max: 500 }), { maxLength: 200 });
  fc.assert(
    fc.property(pauses, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (pausesMs, burst, rate) => {
      const allowance = new Allowance(burst, rate, 0);
      let [nowMs, taken] = [0, 0];
      for (const pauseMs of pausesMs) {
        nowMs += pauseMs;
        if (allowance.take(nowMs)) taken++;
        expect(taken).toBeLessThanOrEqual(burst + (nowMs * rate) / 1000);
      }
    }),
  );
  const steady = new Allowance(1, 10, 0);
  for (let nowMs = 0; nowMs < 10_000; nowMs += 101) expect(steady.take(nowMs)).toBe(true);
});
