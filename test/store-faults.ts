import type { EmbeddedSubscriptions, Faults } from "../src/store/embedded/embedded-subscriptions.ts";

/**
 * Faults of the embedded store on command, for tests of those who use it: everything that a real store was seen to do
 * to its clients. One object belongs to one running store.
 */
export class StoreFaults implements Faults {
  /** every request is answered with this status and an empty body */
  refuseWith: number | undefined;
  #stalled = false;
  #target: EmbeddedSubscriptions | undefined;

  /** Called by the store that obeys. */
  attach(target: EmbeddedSubscriptions): void {
    this.#target = target;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  /** Streams stay open and say nothing, until {@link resume}; queries and transactions are answered. */
  stall(): void {
    this.#stalled = true;
  }

  resume(): void {
    this.#stalled = false;
    this.#target?.resume();
  }

  /** Ends every stream without a word. */
  closeStreams(): void {
    this.#target?.endStreams();
  }

  /** Sends an error line on every stream and ends it. */
  failStreams(message: string): void {
    this.#target?.endStreams(message);
  }

  /** Change ids jump ahead, or go back when negative, as after a restore. */
  shiftChangeIds(by: number): void {
    this.#target?.shiftChangeIds(by);
  }
}
