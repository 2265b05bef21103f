import { TokenBucket, type Rate } from "../../model/token-bucket.ts";
import type { Clock } from "../../system/host.ts";

/** Questions of one address that may go to resolvers. */
const QUESTIONS: Rate = { burst: 2_000, perSecond: 500 };

/** Addresses that are remembered at most. */
const MAX_SOURCES = 65_536;

/** Bounds what one address may have done on its behalf: questions to others, or work. */
export class SourceLimit {
  readonly #clock: Clock;
  #buckets = new Map<number, TokenBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether one more question of this address may go. */
  take(address: number): boolean {
    return this.#bucketOf(address).take(this.#clock.monotonicMs());
  }

  /** Whether this address has not used up what it may. */
  isOpen(address: number): boolean {
    return this.#bucketOf(address).tokens(this.#clock.monotonicMs()) >= 1;
  }

  /** Counts something that was as costly as that many questions. */
  charge(address: number, questions: number): void {
    this.#bucketOf(address).charge(this.#clock.monotonicMs(), questions);
  }

  #bucketOf(address: number): TokenBucket {
    const known = this.#buckets.get(address);
    if (known !== undefined) return known;
    const nowMs = this.#clock.monotonicMs();
    if (this.#buckets.size >= MAX_SOURCES) this.#forgetFull(nowMs);
    const bucket = new TokenBucket(QUESTIONS, nowMs);
    this.#buckets.set(address, bucket);
    return bucket;
  }

  /** Those that have all their tokens again need not be remembered. */
  #forgetFull(nowMs: number): void {
    const left = [...this.#buckets].filter(([, bucket]) => bucket.tokens(nowMs) < QUESTIONS.burst);
    this.#buckets = new Map(left.slice(-MAX_SOURCES / 2));
  }
}
