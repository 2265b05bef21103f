/** How often something may be done: so many times at once, and so many times a second over time. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Holds somebody to a rate. It begins full. Times are monotonic ms. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #filledAtMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledAtMs = nowMs;
  }

  /** What may be taken now, with fractions; below 0 after more was charged than there was. */
  tokens(nowMs: number): number {
    const { burst, perSecond } = this.#rate;
    const earned = (Math.max(0, nowMs - this.#filledAtMs) / 1000) * perSecond;
    this.#tokens = Math.min(burst, this.#tokens + earned);
    this.#filledAtMs = nowMs;
    return this.#tokens;
  }

  /** Gives whether it may be done once more now, and counts it if so. */
  take(nowMs: number): boolean {
    if (this.tokens(nowMs) < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Counts what was done, whether it might be or not. */
  charge(nowMs: number, count: number): void {
    this.#tokens = this.tokens(nowMs) - count;
  }
}
