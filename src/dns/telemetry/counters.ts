import { TYPE } from "../wire/wire.ts";

/** What is counted for each packet. A counter is one 64-bit float in shared memory with a single writer. */
export const COUNTERS = [
  "questionsA",
  "questionsAaaa",
  "questionsPtr",
  "questionsSrv",
  "questionsTxt",
  "questionsSoa",
  "questionsNs",
  "questionsAny",
  "questionsOther",
  "answersNoerror",
  "answersFormerr",
  "answersServfail",
  "answersNxdomain",
  "answersNotimp",
  "answersRefused",
  "answersBadvers",
  "answersOther",
  "cacheHits",
  "staleAnswers",
  "handedOver",
  "droppedStranger",
  "droppedNoQuestion",
  "droppedTooLong",
  "droppedBusy",
  "droppedRate",
  "batches",
  "sampledBatches",
  "sampledMs",
  "sendErrors",
  "receiveErrors",
  "faults",
] as const;

export type CounterName = (typeof COUNTERS)[number];

/** Octets of shared memory for one set. */
export const COUNTER_BYTES = COUNTERS.length * 8;

/** Places of the counters, as constants that a just-in-time compiler can fold. */
export const COUNTER = Object.fromEntries(COUNTERS.map((name, index) => [name, index])) as Record<CounterName, number>;

const FIRST_TYPE = COUNTER.questionsA;
const FIRST_RCODE = COUNTER.answersNoerror;

/** One thread's counters. */
export class Counters {
  readonly values: Float64Array;

  constructor(buffer: ArrayBufferLike, byteOffset = 0) {
    this.values = new Float64Array(buffer, byteOffset, COUNTERS.length);
  }

  add(counter: number): void {
    (this.values[counter] as number)++;
  }

  question(type: number): void {
    this.add(FIRST_TYPE + (type < 256 ? (TYPE_PLACES[type] as number) : 8));
  }

  answer(rcode: number): void {
    this.add(FIRST_RCODE + (rcode <= 5 ? rcode : rcode === 16 ? 6 : 7));
  }

  addMany(counter: number, count: number): void {
    this.values[counter] = (this.values[counter] as number) + count;
  }

  get(name: CounterName): number {
    return this.values[COUNTER[name]] ?? 0;
  }
}

/** Place of each type among the counters of questions; all others share the last one. */
const TYPE_PLACES = new Uint8Array(256).fill(8);
for (const [place, type] of [TYPE.A, TYPE.AAAA, TYPE.PTR, TYPE.SRV, TYPE.TXT, TYPE.SOA, TYPE.NS, TYPE.ANY].entries()) {
  TYPE_PLACES[type] = place;
}

/** Upper bounds of the classes, in seconds; the last class has none. */
export const LATENCY_BOUNDS = [0.001, 0.005, 0.02, 0.1, 0.3, 1, 3] as const;

/** A histogram of durations as Prometheus has it: each class includes all shorter ones. */
export class Latency {
  /** how many there were up to each bound; the last place counts all */
  readonly counts = new Float64Array(LATENCY_BOUNDS.length + 1);
  sumSeconds = 0;

  observe(seconds: number): void {
    this.sumSeconds += seconds;
    const place = LATENCY_BOUNDS.findIndex((bound) => seconds <= bound);
    const from = place < 0 ? LATENCY_BOUNDS.length : place;
    for (let at = from; at < this.counts.length; at++) this.counts[at] = (this.counts[at] ?? 0) + 1;
  }
}
