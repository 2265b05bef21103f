import { systemClock } from "../src/system/clock.ts";
import type { Clock } from "../src/system/host.ts";

/** A clock whose waits are shorter than asked for, and countable, so that tests wait for them instead of for time. */
export class FastClock implements Clock {
  readonly #speed: number;
  readonly #waits = new Map<number, number>();
  readonly #watchers = new Set<() => void>();
  #running: Promise<void> = Promise.resolve();

  constructor(speed: number) {
    this.#speed = speed;
  }

  nowMs(): number {
    return systemClock.nowMs();
  }

  monotonicMs(): number {
    return systemClock.monotonicMs();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.#waits.set(ms, this.waits(ms) + 1);
    for (const watcher of this.#watchers) watcher();
    await systemClock.sleep(ms / this.#speed, signal);
    await this.#running;
  }

  /** Until the returned function is called, no wait ends. */
  pause(): () => void {
    let run = (): void => {};
    this.#running = new Promise((resolve) => (run = resolve));
    return run;
  }

  /** How often that many milliseconds were asked for. */
  waits(ms: number): number {
    return this.#waits.get(ms) ?? 0;
  }

  /** Resolves when waits of that length or longer have begun so many times more. */
  async untilWaits(ms: number, times: number): Promise<void> {
    const count = (): number => [...this.#waits].reduce((sum, [each, n]) => sum + (each >= ms ? n : 0), 0);
    const goal = count() + times;
    await new Promise<void>((resolve) => {
      const watcher = (): void => {
        if (count() < goal) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
    });
  }
}
