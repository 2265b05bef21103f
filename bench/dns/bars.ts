import type { ContenderName } from "./contenders.ts";
import { median, type Measured } from "./measure.ts";
import type { BusyResult, ChangesResult, ManyResult, PlainResult, Runs } from "./scenarios.ts";

/** Everything that one run has measured; a part that was not asked for is missing. */
export interface Results {
  readonly plain?: PlainResult;
  readonly many?: ManyResult;
  readonly changes?: ChangesResult;
  readonly forward?: Runs;
  readonly busy?: BusyResult;
}

/** One bar of jiji-dns: what was reached and what is asked for. */
export interface Bar {
  readonly what: string;
  readonly reached: number;
  readonly unit: string;
  readonly asked: { readonly atLeast: number } | { readonly atMost: number };
}

export function isMet({ reached, asked }: Bar): boolean {
  return "atLeast" in asked ? reached >= asked.atLeast : reached <= asked.atMost;
}

/**
 * What a core answers in a second of its time at full load. Unlike answers per second of the clock it does not change
 * with what else runs on the machine, as long as the load keeps the server busy.
 */
export function answersPerCoreSecond({ processorUsPerAnswer }: Measured): number {
  return 1e6 / processorUsPerAnswer;
}

/** The median of a value over rounds, of one server. */
export function middle(runs: Runs, name: ContenderName, value: (measured: Measured) => number): number {
  return median((runs[name] ?? []).map(value));
}

/** jiji-dns's value by another's, round by round, the median of these. */
export function ratio(runs: Runs, other: ContenderName, value: (measured: Measured) => number): number {
  const others = runs[other] ?? [];
  return median(
    (runs.jiji ?? []).map((measured, round) => {
      const against = others[round];
      return against === undefined ? Number.NaN : value(measured) / value(against);
    }),
  );
}

const processorUs = (measured: Measured): number => measured.processorUsPerAnswer;

/** The bars that the results say something about. */
export function barsOf({ plain, many, changes, forward }: Results): readonly Bar[] {
  const bars: Bar[] = [];
  const against = (runs: Runs, other: ContenderName, atLeast: number, what: string): void => {
    if (runs[other] === undefined) return;
    const reached = ratio(runs, other, answersPerCoreSecond);
    bars.push({ what: `${what} / ${other}`, reached, unit: "×", asked: { atLeast } });
  };
  if (plain !== undefined) {
    for (const [other, atLeast] of [
      ["c-loop", 0.95],
      ["knot", 1.05],
      ["unbound", 1.2],
      ["dnsmasq", 1.2],
      ["coredns", 2.3],
    ] as const) {
      against(plain.full, other, atLeast, "answers per core, 1,000 names");
    }
    if (plain.full.knot !== undefined) {
      const time = ratio(plain.fixed, "knot", processorUs);
      bars.push({
        what: "processor time per answer at 60,000/s / knot",
        reached: time,
        unit: "×",
        asked: { atMost: 1 },
      });
      for (const [what, value] of [
        ["p99", (m: Measured) => m.p99Us],
        ["p99 of the usual tenth of a second", (m: Measured) => m.usualP99Us],
      ] as const) {
        const reached = ratio(plain.half, "knot", value);
        bars.push({ what: `${what} at ${plain.halfRate}/s / knot`, reached, unit: "×", asked: { atMost: 1 } });
      }
    }
    const reached = Math.max(plain.memory.jiji?.rss ?? Number.NaN, plain.memoryAfter.jiji?.rss ?? 0);
    bars.push({ what: "memory, 1,000 names", reached, unit: "MB", asked: { atMost: 60 } });
  }
  if (many !== undefined) bars.push(...manyBars(many));
  if (changes !== undefined) bars.push(...changeBars(changes));
  if (forward !== undefined) against(forward, "unbound", 1, "cached forwards per core");
  return bars;
}

function manyBars({ few, many, memory, memoryAfter, fromRowsMs, fromSavedMs }: ManyResult): readonly Bar[] {
  const pairs = many.map((run, round) => answersPerCoreSecond(run) / answersPerCoreSecond(few[round] ?? run));
  // The quickest of a few starts: other work on the machine only makes one slower.
  const fromRows = Math.min(...fromRowsMs);
  const fromSaved = Math.min(...fromSavedMs);
  return [
    { what: "answers, 64,515 containers / 1,000 names", reached: median(pairs), unit: "×", asked: { atLeast: 0.95 } },
    {
      what: "memory, 64,515 containers",
      reached: Math.max(memory.rss, memoryAfter.rss),
      unit: "MB",
      asked: { atMost: 100 },
    },
    { what: "64,515 rows to serving, subscription", reached: fromRows, unit: "ms", asked: { atMost: 2500 } },
    { what: "64,515 rows to serving, saved table", reached: fromSaved, unit: "ms", asked: { atMost: 500 } },
  ];
}

function changeBars({ quiet, changing, beside, swapping, changeMs }: ChangesResult): readonly Bar[] {
  const share = (slice: (measured: Measured) => number): number =>
    median(swapping.map((run, round) => slice(run) / slice(beside[round] ?? run)));
  const pairs = changing.map((run, round) => run.answersPerSecond / (quiet[round] ?? run).answersPerSecond);
  return [
    { what: "one change, from its row to its answer", reached: median(changeMs), unit: "ms", asked: { atMost: 2 } },
    { what: "answers with 50 changes/s / without", reached: median(pairs), unit: "×", asked: { atLeast: 0.95 } },
    {
      what: "answers in a tenth of a second, the usual or a low one, tables swapped / not",
      reached: Math.min(
        share((m) => m.medianSlice),
        share((m) => m.lowSlice),
      ),
      unit: "×",
      asked: { atLeast: 0.9 },
    },
  ];
}
