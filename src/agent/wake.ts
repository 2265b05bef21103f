import type { Clock } from "../system/host.ts";

/** One loop sleeps, others wake it. A call that comes while it is awake is not lost: the next sleep ends at once. */
export class Wake {
  #isSet = false;
  #resume: (() => void) | undefined;

  call(): void {
    this.#isSet = true;
    this.#resume?.();
  }

  /**
   * Sleeps until {@link call}, until the time is up, or until `signal` is aborted; never throws. True when it was called.
   */
  async sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#isSet && !signal.aborted) {
      const timer = new AbortController();
      const called = new Promise<void>((resolve) => (this.#resume = resolve));
      const slept = clock.sleep(ms, AbortSignal.any([signal, timer.signal])).catch(() => undefined);
      await Promise.race([called, slept]);
      timer.abort();
      this.#resume = undefined;
    }
    const wasCalled = this.#isSet;
    this.#isSet = false;
    return wasCalled;
  }
}

/** Waits between attempts. Each is twice as long as the one before, up to `lastMs`; a success starts over. */
export class Backoff {
  readonly #firstMs: number;
  readonly #lastMs: number;
  #nextMs: number;

  constructor(firstMs = 100, lastMs = 5_000) {
    this.#firstMs = firstMs;
    this.#lastMs = lastMs;
    this.#nextMs = firstMs;
  }

  nextMs(): number {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(this.#lastMs, ms * 2);
    return ms;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
