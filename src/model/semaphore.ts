/** Lets a limited number of callers proceed at once; the others wait in the order in which they came. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#free = limit;
  }

  /**
   * Resolves when it is the caller's turn, with what to call (once) when the turn is over. Rejects with the signal's reason
   * when that comes first.
   */
  async enter(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    return () => {
      const [next] = this.#waiting;
      if (next === undefined) this.#free += 1;
      else next();
    };
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leaveQueue = (): void => {
        this.#waiting.delete(onTurn);
        signal?.removeEventListener("abort", onAbort);
      };
      const onTurn = (): void => {
        leaveQueue();
        resolve();
      };
      const onAbort = (): void => {
        leaveQueue();
        reject(signal?.reason as Error);
      };
      this.#waiting.add(onTurn);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
