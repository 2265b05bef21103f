import { TokenBucket } from "../../model/token-bucket.ts";
import type { RowChange } from "./mirror.ts";

/** Rows that one server may change in a second, over time. */
export const CHANGES_PER_SECOND = 20;

/**
 * Bounds what one server's containers can make every other server do: at most {@link CHANGES_PER_SECOND} row changes a
 * second, over time. What is put off is not lost: the next plan holds it again, with what the engine says by then.
 */
export class RowBudget {
  readonly #changedAtMs = new Map<number, number>();
  readonly #bucket: TokenBucket;

  /** @param burst how many changes may be made at once after a quiet time */
  constructor(nowMonotonicMs: number, burst: number = CHANGES_PER_SECOND) {
    this.#bucket = new TokenBucket({ burst, perSecond: CHANGES_PER_SECOND }, nowMonotonicMs);
  }

  /**
   * The changes that may be made now. Those that hide a container come first, then those whose row has been quiet for
   * longest, so that one restless container cannot keep the others' changes back.
   */
  take(changes: readonly RowChange[], nowMonotonicMs: number): readonly RowChange[] {
    const ordered = changes.toSorted(
      (a, b) => Number(hides(b)) - Number(hides(a)) || this.#lastChange(a) - this.#lastChange(b) || a.n - b.n,
    );
    const taken = ordered.slice(0, Math.floor(this.#bucket.tokens(nowMonotonicMs)));
    this.#bucket.charge(nowMonotonicMs, taken.length);
    for (const { n } of taken) this.#changedAtMs.set(n, nowMonotonicMs);
    return taken;
  }

  #lastChange(change: RowChange): number {
    return this.#changedAtMs.get(change.n) ?? Number.NEGATIVE_INFINITY;
  }
}

function hides(change: RowChange): boolean {
  return change.previous?.state === "healthy" && change.record?.state !== "healthy";
}
