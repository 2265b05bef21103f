import { expect, test } from "bun:test";
import { spreadOf, stageRows, type Sample } from "./stages.ts";

const sample: Sample = {
  change: "appears",
  eventMs: 1000,
  writingMs: 1010,
  writtenMs: 1013,
  newsMs: 1034,
  storeMs: 1400,
  answeredMs: 1035,
};

const FAR = { roundTripMs: 40, lossPercent: 0, hasNews: true };

test("percentiles are values that were seen", () => {
  expect(spreadOf(Array.from({ length: 100 }, (_, i) => 100 - i))).toEqual({ p50: 50, p99: 99, worst: 100 });
  expect(spreadOf([7])).toEqual({ p50: 7, p99: 7, worst: 7 });
  expect(spreadOf([])).toBeUndefined();
});

test("each stage is the time between two sights, and the bars count the way once", () => {
  const rows = stageRows([sample], FAR);
  expect(rows.map(({ spread }) => spread?.p50)).toEqual([10, 3, 21, 1, 387, 22, 35]);
  expect(rows.at(-2)).toMatchObject({ bar: { p50: 35, p99: 70 }, isMet: true });
  expect(rows.at(-1)).toMatchObject({ bar: { p50: 60, p99: 270 }, isMet: true });
});

test("a bar is missed by the median or by the slowest", () => {
  const slow = { ...sample, answeredMs: sample.writtenMs + 71 };
  expect(stageRows([sample, sample, slow], FAR).at(-2)?.isMet).toBe(false);
  expect(stageRows([slow], { ...FAR, lossPercent: 5 }).at(-2)).toMatchObject({ bar: { p99: 1500 }, isMet: true });
});

test("without news there is a store's time and no bar", () => {
  const rows = stageRows([{ ...sample, newsMs: undefined }], { ...FAR, hasNews: false });
  expect(rows[2]?.spread).toBeUndefined();
  expect(rows[3]?.spread).toBeUndefined();
  expect(rows.at(-1)?.isMet).toBeUndefined();
});
