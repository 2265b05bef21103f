import { expect, test } from "bun:test";
import { fuzzAgent } from "./agent-fuzz.ts";

test("20,000 mutated datagrams from members: nobody speaks for another, the others stay heard, nothing grows", async () => {
  const report = await fuzzAgent({ packets: 20_000, seed: 20_260_102 });
  expect(report.complaints).toEqual([]);
  expect(report.believed).toBeGreaterThan(0);
  expect(report.dropped["malformed"]).toBeGreaterThan(1_000);
  expect(report.dropped["too much news"]).toBeGreaterThan(0);
  // once in five seconds, whoever asks
  expect(report.rechecks).toBeLessThanOrEqual(12);
  expect(report.megabytesGrown).toBeLessThan(100);
}, 60_000);
