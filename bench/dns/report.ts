import { renderTable } from "../../src/cli/table.ts";
import { answersPerCoreSecond, barsOf, isMet, middle, type Bar, type Results } from "./bars.ts";
import type { ContenderName } from "./contenders.ts";
import { median, type Measured } from "./measure.ts";
import type { BusyResult, PlainResult, Runs } from "./scenarios.ts";

/** The results as tables for people. */
export function formatResults(results: Results): string {
  const { plain, busy, many, changes, forward } = results;
  const parts: string[] = [];
  if (plain !== undefined) parts.push(plainTable(plain));
  if (busy !== undefined) parts.push(busyTable(busy));
  if (forward !== undefined) parts.push(forwardTable(forward));
  if (many !== undefined) {
    const { memory, memoryAfter, fromRowsMs, fromSavedMs } = many;
    const rows = [
      ["1,000 names", ...loadCells(many.few)],
      ["64,515 containers", ...loadCells(many.many)],
    ];
    const starts = (list: readonly number[]): string =>
      `${whole(median(list))} ms, best ${whole(Math.min(...list))} ms`;
    parts.push(
      renderTable(["jiji-dns with", ...LOAD_COLUMNS], rows),
      `64,515 containers: ${whole(memory.rss)} MB, after load ${whole(memoryAfter.rss)} MB\n` +
        `serving after its start, with a subscription: ${starts(fromRowsMs)}\n` +
        `serving after its start, with the saved table: ${starts(fromSavedMs)}`,
    );
  }
  if (changes !== undefined) {
    const rows = (["quiet", "changing", "beside", "swapping"] as const).map((kind) => {
      const of = (value: (measured: Measured) => number): string => whole(median(changes[kind].map(value)));
      return [
        kind,
        of((m) => m.answersPerSecond),
        of((m) => m.medianSlice * 10),
        of((m) => m.lowSlice * 10),
        of((m) => m.worstSlice * 10),
        of((m) => m.p99Us),
      ];
    });
    const spread = (milliseconds: readonly number[]): string => {
      const sorted = milliseconds.toSorted((a, b) => a - b);
      return `p50 ${median(sorted).toFixed(2)} ms, p99 ${(sorted.at(-2) ?? 0).toFixed(2)} ms`;
    };
    parts.push(
      renderTable(
        [
          "jiji-dns, 64,515 containers",
          "answers/s",
          "in the usual tenth of a second",
          "in a low one",
          "in the worst",
          "p99 µs",
        ],
        rows,
      ),
      `one change, from its row to its answer: ${spread(changes.changeMs)}; under full load ${spread(changes.busyChangeMs)}`,
    );
  }
  const bars = barsOf(results);
  if (bars.length > 0) parts.push(barTable(bars));
  return parts.join("\n\n");
}

function namesOf(runs: Runs): readonly ContenderName[] {
  return Object.keys(runs) as ContenderName[];
}

function plainTable({ full, fixed, half, halfRate, memory, memoryAfter }: PlainResult): string {
  const reference = middle(full, "c-loop", answersPerCoreSecond);
  const rows = namesOf(full).map((name) => {
    const of = (runs: Runs, value: (measured: Measured) => number): number => middle(runs, name, value);
    return [
      name,
      whole(of(full, (m) => m.answersPerSecond)),
      `${whole(of(full, (m) => m.busy * 100))} %`,
      whole(of(full, answersPerCoreSecond)),
      (of(full, answersPerCoreSecond) / reference).toFixed(2),
      of(fixed, (m) => m.processorUsPerAnswer).toFixed(2),
      `${whole(of(half, (m) => m.p50Us))} / ${whole(of(half, (m) => m.usualP99Us))} / ${whole(of(half, (m) => m.p99Us))}`,
      `${whole(memory[name]?.rss ?? Number.NaN)} / ${whole(memoryAfter[name]?.rss ?? Number.NaN)}`,
      `${sum(full[name], fixed[name], half[name], (m) => m.wrong)} / ${sum(full[name], fixed[name], half[name], (m) => m.lost)}`,
    ];
  });
  return renderTable(
    [
      ...["1,000 names", "answers/s", "core busy", "per core second", "/ C loop", "µs at 60,000/s"],
      ...[`p50 / usual p99 / p99 µs at ${halfRate}/s`, "MB before / after", "wrong / lost"],
    ],
    rows,
  );
}

function busyTable({ runs, rate }: BusyResult): string {
  const rows = namesOf(runs).map((name) => {
    const of = (value: (measured: Measured) => number): string => whole(middle(runs, name, value));
    return [name, of((m) => m.p50Us), of((m) => m.usualP99Us), of((m) => m.p99Us), of((m) => m.lost)];
  });
  return renderTable([`${rate}/s beside busy programs`, "p50 µs", "usual p99 µs", "p99 µs", "lost"], rows);
}

function forwardTable(runs: Runs): string {
  const rows = namesOf(runs).map((name) => [name, ...loadCells(runs[name] ?? [])]);
  return renderTable(["cached forwards", ...LOAD_COLUMNS], rows);
}

const LOAD_COLUMNS = ["answers/s", "per core", "µs"];

/** At full load. */
function loadCells(runs: readonly Measured[]): readonly string[] {
  const of = (value: (measured: Measured) => number): number => median(runs.map(value));
  return [
    whole(of((m) => m.answersPerSecond)),
    whole(of(answersPerCoreSecond)),
    of((m) => m.processorUsPerAnswer).toFixed(2),
  ];
}

function barTable(bars: readonly Bar[]): string {
  const rows = bars.map((bar) => [
    bar.what,
    `${bar.reached.toFixed(bar.unit === "×" || bar.reached < 10 ? 2 : 0)} ${bar.unit}`,
    "atLeast" in bar.asked ? `≥ ${bar.asked.atLeast}` : `≤ ${bar.asked.atMost}`,
    isMet(bar) ? "met" : "NOT MET",
  ]);
  return renderTable(["jiji-dns", "reached", "bar", ""], rows);
}

function sum(
  a: readonly Measured[] | undefined,
  b: readonly Measured[] | undefined,
  c: readonly Measured[] | undefined,
  value: (measured: Measured) => number,
): number {
  return [...(a ?? []), ...(b ?? []), ...(c ?? [])].reduce((total, measured) => total + value(measured), 0);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
