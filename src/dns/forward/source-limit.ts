import type { Clock } from "../../system/host.ts";

/** Questions of one address that may go to resolvers: so many at once, and so many a second for ever. */
const BURST = 2_000;
const PER_SECOND = 500;

/** Addresses that are remembered at most. */
const MAX_SOURCES = 65_536;

interface Bucket {
  tokens: number;
  filledMs: number;
}

/** Bounds what one address may have done on its behalf: questions to others, or work. */
export class SourceLimit {
  readonly #clock: Clock;
  #buckets = new Map<number, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more question of this address may go. */
  take(address: number): boolean {
    const bucket = this.#bucketOf(address);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** Whether this address has not used up what it may. */
  isOpen(address: number): boolean {
    return this.#bucketOf(address).tokens >= 1;
  }

  /** Counts something that was as costly as that many questions. */
  charge(address: number, questions: number): void {
    this.#bucketOf(address).tokens -= questions;
  }

  #bucketOf(address: number): Bucket {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#buckets.get(address);
    if (known !== undefined) {
      known.tokens = Math.min(BURST, known.tokens + ((nowMs - known.filledMs) * PER_SECOND) / 1000);
      known.filledMs = nowMs;
      return known;
    }
    if (this.#buckets.size >= MAX_SOURCES) this.#forgetFull(nowMs);
    const bucket = { tokens: BURST, filledMs: nowMs };
    this.#buckets.set(address, bucket);
    return bucket;
  }

  /** Those that have all their tokens again need not be remembered. */
  #forgetFull(nowMs: number): void {
    const left = [...this.#buckets].filter(
      ([, { tokens, filledMs }]) => tokens + ((nowMs - filledMs) * PER_SECOND) / 1000 < BURST,
    );
    this.#buckets = new Map(left.slice(-MAX_SOURCES / 2));
  }
}
