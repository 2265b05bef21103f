import { expect, test } from "bun:test";
import { fuzzDns } from "./dns-fuzz.ts";

// dns-contract: malformed-packets, no-log-per-packet
test("50,000 mutated packets through the live socket: no crash, no wrong id, no wrong answer, no growth", async () => {
  const report = await fuzzDns({ packets: 50_000, seed: 20_260_101, say: () => undefined });
  expect(report.complaints).toEqual([]);
  expect(report).toMatchObject({ packets: 50_000, faults: 0, exitCode: 0 });
  // All that need no resolver are answered, the malformed ones too; loopback may lose a few.
  expect(report.answers).toBeGreaterThan(45_000);
  expect(report.askedAgain).toBeLessThan(500);
  expect(report.logLines).toBeLessThan(50);
  // The answers that are kept fill their 8 MB meanwhile, and so short a run does not collect what it throws away.
  const [first = 0] = report.megabytes;
  expect(report.megabytes.at(-1)).toBeLessThan(first + 30);
}, 120_000);
