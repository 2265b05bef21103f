import { expect, test } from "bun:test";
import fc from "fast-check";
import { TokenBucket } from "./token-bucket.ts";

test("never more than the burst and what the time gives, and never less when it is spent slowly", () => {
  const pauses = fc.array(fc.nat({ max: 500 }), { maxLength: 200 });
  fc.assert(
    fc.property(pauses, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (pausesMs, burst, rate) => {
      const bucket = new TokenBucket({ burst, perSecond: rate }, 0);
      let [nowMs, taken] = [0, 0];
      for (const pauseMs of pausesMs) {
        nowMs += pauseMs;
        if (bucket.take(nowMs)) taken++;
        expect(taken).toBeLessThanOrEqual(burst + (nowMs * rate) / 1000);
      }
    }),
  );
  const steady = new TokenBucket({ burst: 1, perSecond: 10 }, 0);
  for (let nowMs = 0; nowMs < 10_000; nowMs += 101) expect(steady.take(nowMs)).toBe(true);
});

test("what was charged beyond it has to be earned first", () => {
  const bucket = new TokenBucket({ burst: 2, perSecond: 1 }, 0);
  bucket.charge(0, 5);
  expect(bucket.tokens(1_000)).toBe(-2);
  expect(bucket.take(3_999)).toBe(false);
  expect(bucket.take(4_000)).toBe(true);
  expect(bucket.tokens(1_000_000)).toBe(2);
});
