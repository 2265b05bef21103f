/** When one change was seen where, Unix times in ms. */
export interface Sample {
  /** "appears" when a container starts, "disappears" when it ends */
  readonly change: "appears" | "disappears";
  /** the engine's own time of its event */
  readonly eventMs: number;
  /** the agent began to write: its record's `rev` */
  readonly writingMs: number;
  /** the store had taken the row */
  readonly writtenMs: number;
  /** the slower server's agent had the news; undefined: none came */
  readonly newsMs: number | undefined;
  /** the slower server's own store said it to a subscription; undefined: not waited for */
  readonly storeMs: number | undefined;
  /** the slower server's jiji-dns answered with the change */
  readonly answeredMs: number;
}

/** The distribution of one stage, ms. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
}

export interface StageRow {
  readonly stage: string;
  readonly spread: Spread | undefined;
  /** what the stage must not exceed */
  readonly bar: { readonly p50?: number; readonly p99: number } | undefined;
  readonly isMet: boolean | undefined;
}

/** What the stages are held to. */
export interface Conditions {
  readonly roundTripMs: number;
  readonly lossPercent: number;
  readonly hasNews: boolean;
}

/** Nearest-rank percentiles; undefined for no values at all. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (fraction: number): number => sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? Number.NaN;
  return sorted.length === 0 ? undefined : { p50: at(0.5), p99: at(0.99), worst: at(1) };
}

/** Bars: half a round trip for the way, and so many ms for the work. With loss one repetition may be on the way. */
function bars({ roundTripMs, lossPercent, hasNews }: Conditions): Record<"written" | "event", StageRow["bar"]> {
  if (!hasNews) return { written: undefined, event: undefined };
  if (lossPercent > 0) return { written: { p99: 1_500 }, event: { p99: 1_500 } };
  const wayMs = roundTripMs / 2;
  return { written: { p50: wayMs + 15, p99: wayMs + 50 }, event: { p50: wayMs + 40, p99: wayMs + 250 } };
}

/** The chain stage by stage, then the two ways through it that have a bar. */
export function stageRows(samples: readonly Sample[], conditions: Conditions): readonly StageRow[] {
  const between = (from: (sample: Sample) => number, to: (sample: Sample) => number | undefined): readonly number[] =>
    samples.flatMap((sample) => {
      const end = to(sample);
      return end === undefined ? [] : [end - from(sample)];
    });
  const row = (stage: string, values: readonly number[], bar?: StageRow["bar"]): StageRow => {
    const spread = spreadOf(values);
    const isMet =
      spread === undefined || bar === undefined
        ? undefined
        : spread.p99 <= bar.p99 && spread.p50 <= (bar.p50 ?? Number.POSITIVE_INFINITY);
    return { stage, spread, bar, isMet };
  };
  const { written, event } = bars(conditions);
  return [
    row(
      "engine event → write begins",
      between(
        ({ eventMs }) => eventMs,
        ({ writingMs }) => writingMs,
      ),
    ),
    row(
      "write begins → row written",
      between(
        ({ writingMs }) => writingMs,
        ({ writtenMs }) => writtenMs,
      ),
    ),
    row(
      "row written → news elsewhere",
      between(
        ({ writtenMs }) => writtenMs,
        ({ newsMs }) => newsMs,
      ),
    ),
    row(
      "news elsewhere → answered there",
      between(
        ({ newsMs }) => newsMs ?? Number.NaN,
        ({ newsMs, answeredMs }) => newsMs && answeredMs,
      ),
    ),
    row(
      "row written → store elsewhere",
      between(
        ({ writtenMs }) => writtenMs,
        ({ storeMs }) => storeMs,
      ),
    ),
    row(
      "row written → answered elsewhere",
      between(
        ({ writtenMs }) => writtenMs,
        ({ answeredMs }) => answeredMs,
      ),
      written,
    ),
    row(
      "engine event → answered elsewhere",
      between(
        ({ eventMs }) => eventMs,
        ({ answeredMs }) => answeredMs,
      ),
      event,
    ),
  ];
}
