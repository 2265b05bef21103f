/** Upper bounds of the classes, in seconds; the last class has none. */
export const LATENCY_BOUNDS = [0.001, 0.005, 0.02, 0.1, 0.3, 1, 3] as const;

/** How long something took, counted in classes as Prometheus has them: each class includes all shorter ones. */
export class Latency {
  readonly #counts = new Float64Array(LATENCY_BOUNDS.length + 1);
  sumSeconds = 0;

  observe(seconds: number): void {
    this.sumSeconds += seconds;
    const place = LATENCY_BOUNDS.findIndex((bound) => seconds <= bound);
    const from = place < 0 ? LATENCY_BOUNDS.length : place;
    for (let at = from; at < this.#counts.length; at++) this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** How many took at most so long; the last place is how many there were. */
  get counts(): Float64Array {
    return this.#counts;
  }
}
