import { expect, test } from "bun:test";
import { systemClock } from "../../system/clock.ts";
import { SourceLimit } from "./source-limit.ts";

function setUp() {
  const state = { nowMs: 0 };
  return { state, limit: new SourceLimit({ ...systemClock, monotonicMs: () => state.nowMs }) };
}

function taken(limit: SourceLimit, address: number, tries: number): number {
  return Array.from({ length: tries }, () => limit.take(address)).filter(Boolean).length;
}

// dns-contract: source-bound
test("one address may ask 2,000 at once and 500 a second for ever; another is not touched", () => {
  const { state, limit } = setUp();
  expect(taken(limit, 1, 5_000)).toBe(2_000);
  expect(taken(limit, 2, 10)).toBe(10);
  for (let second = 1; second <= 5; second++) {
    state.nowMs = second * 1_000;
    expect(taken(limit, 1, 5_000)).toBe(500);
  }
  state.nowMs += 60_000;
  expect(taken(limit, 1, 5_000)).toBe(2_000);
});

test("any number of addresses takes bounded memory, and those that ask much are not forgotten for it", () => {
  const { limit } = setUp();
  expect(taken(limit, 7, 2_000)).toBe(2_000);
  for (let address = 100; address < 65_000; address++) limit.take(address);
  expect(limit.take(7)).toBe(false);
  for (let address = 100_000; address < 400_000; address++) limit.take(address);
  expect(taken(limit, 8, 3_000)).toBe(2_000);
});
