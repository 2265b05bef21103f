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
    this.add(FIRST_TYPE + typePlace(type));
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

function typePlace(type: number): number {
  switch (type) {
    case TYPE.A:
      return 0;
    case TYPE.AAAA:
      return 1;
    case TYPE.PTR:
      return 2;
    case TYPE.SRV:
      return 3;
    case TYPE.TXT:
      return 4;
    case TYPE.SOA:
      return 5;
    case TYPE.NS:
      return 6;
    case TYPE.ANY:
      return 7;
    default:
      return 8;
  }
}
