import type { Clock } from "../system/host.ts";

/** Questions of one address that may go to resolvers: so many at once, and so many a second for ever. */
const BURST = 2_000;
const PER_SECOND = 500;

/** Addresses that are remembered at most. */
const MAX_SOURCES = 65_536;

interface Bucket {
  tokens: number;
  filledMs: number;
}

/** Bounds what one address may have asked of others on its behalf. */
export class SourceLimit {
  readonly #clock: Clock;
  #buckets = new Map<number, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more question of this address may go. */
  take(address: number): boolean {
    const nowMs = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_SOURCES) this.#forgetFull(nowMs);
      this.#buckets.set(address, { tokens: BURST - 1, filledMs: nowMs });
      return true;
    }
    bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.filledMs) * PER_SECOND) / 1000);
    bucket.filledMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** Those that have all their tokens again need not be remembered. */
  #forgetFull(nowMs: number): void {
    const left = [...this.#buckets].filter(
      ([, { tokens, filledMs }]) => tokens + ((nowMs - filledMs) * PER_SECOND) / 1000 < BURST,
    );
    this.#buckets = new Map(left.slice(-MAX_SOURCES / 2));
  }
}
