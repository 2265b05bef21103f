import { messageOf } from "../../model/errors.ts";
import type { ServerId } from "../../model/keys.ts";
import { nextRev } from "../../model/revision.ts";
import type { StoreClient } from "../../store/store.ts";
import type { Clock, Log } from "../../system/host.ts";
import {
  applyRowChanges,
  deleteForeignKeys,
  encodeRowChanges,
  largestRev,
  parseOwnRows,
  planMirror,
  selectOwnRows,
  watchOwnRows,
  type OwnRows,
  type RowChange,
} from "./mirror.ts";
import type { PublishedContainer } from "./publish.ts";
import { CHANGES_PER_SECOND, RowBudget } from "./row-budget.ts";
import { Backoff, Wake } from "../wake.ts";

export interface RowWriterOptions {
  readonly self: ServerId;
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly log: Log;
  /** called with what has just been written, in the order of `rev` */
  readonly onChange?: (changes: readonly RowChange[]) => void;
  /** called whenever {@link RowWriter.isSettled} becomes another */
  readonly onSettled?: (isSettled: boolean) => void;
}

/** The rows are read back after this long without a reason. */
const READ_BACK_MS = 30_000;

/** Rows that may be put back at once: a whole server's, twice. Beyond that they count as any other change. */
const RESTORE_BURST = 512;

/**
 * Keeps this server's container rows in the store as they were last published: reads them back at the start, after
 * every failure and whenever somebody else touched them, and writes only what differs. While the store is away, it waits.
 */
export function startRowWriter(options: RowWriterOptions): RowWriter {
  return new RowWriter(options);
}

export class RowWriter {
  readonly #options: RowWriterOptions;
  readonly #stop = new AbortController();
  readonly #wake = new Wake();
  readonly #changeBudget: RowBudget;
  readonly #restoreBudget: RowBudget;
  readonly #done: Promise<unknown>;
  #published: readonly PublishedContainer[] | undefined;
  #rows: OwnRows | undefined;
  /** what this agent holds to be in the store; a row that is missing there, or differs, is put back */
  #believed: OwnRows = new Map();
  #lastRev = 0;
  #isSettled = false;
  readonly #waiting = new Set<(isSettled: boolean) => void>();
  #isStoreAway = false;
  #hasWrittenAll = false;
  #isReadBackWanted = true;

  constructor(options: RowWriterOptions) {
    this.#options = options;
    const now = options.clock.monotonicMs();
    this.#changeBudget = new RowBudget(now);
    this.#restoreBudget = new RowBudget(now, RESTORE_BURST);
    this.#done = Promise.all([this.#write(), this.#watch()]);
  }

  /** Whether the store says what was published last, as far as is known. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** This server's rows as last written or read back; undefined while they are unknown. */
  get rows(): OwnRows | undefined {
    return this.#rows;
  }

  /** Says what the rows should be. Until the first call nothing is written. */
  publish(containers: readonly PublishedContainer[]): void {
    this.#published = containers;
    this.#settle(false);
    this.#wake.call();
  }

  /** Waits until {@link isSettled}; gives false when the time is up before. */
  async whenSettled(timeoutMs: number): Promise<boolean> {
    if (this.#isSettled) return true;
    const settled = new Promise<boolean>((resolve) => this.#waiting.add(resolve));
    const late = this.#options.clock.sleep(timeoutMs, this.#stop.signal).catch(() => undefined);
    return (await Promise.race([settled, late])) === true;
  }

  /** Reads the rows back now. */
  look(): void {
    this.#isReadBackWanted = true;
    this.#wake.call();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.call();
    await this.#done;
  }

  #settle(isSettled: boolean): void {
    if (this.#isSettled === isSettled) return;
    this.#isSettled = isSettled;
    this.#options.onSettled?.(isSettled);
    if (!isSettled) return;
    for (const resolve of this.#waiting) resolve(true);
    this.#waiting.clear();
  }

  async #write(): Promise<void> {
    const { clock, log } = this.#options;
    const signal = this.#stop.signal;
    const backoff = new Backoff();
    let readBackAtMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        if (this.#isReadBackWanted || clock.monotonicMs() - readBackAtMs >= READ_BACK_MS) {
          await this.#readBack();
          readBackAtMs = clock.monotonicMs();
        }
        const waitMs = await this.#writeOnce();
        if (this.#isStoreAway) log.info("store: answers again");
        this.#isStoreAway = false;
        backoff.reset();
        await this.#wake.sleep(clock, Math.min(waitMs, READ_BACK_MS), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#isReadBackWanted = true;
        this.#settle(false);
        const why = messageOf(error);
        if (!this.#isStoreAway) log.warn(`store: ${why}; trying again`);
        this.#isStoreAway = true;
        await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
      }
    }
  }

  async #readBack(): Promise<void> {
    const { store, self, clock } = this.#options;
    this.#isReadBackWanted = false;
    const answer = await store.query(selectOwnRows(self), { signal: this.#stop.signal, timeoutSeconds: 10 });
    this.#rows = parseOwnRows(answer.rows);
    await store.transact([deleteForeignKeys(self)], { signal: this.#stop.signal });
    this.#lastRev = Math.max(this.#lastRev, largestRev(this.#rows, clock.nowMs()));
  }

  /** Writes what may be written now. Gives how long to wait before the next look. */
  async #writeOnce(): Promise<number> {
    const { store, self, clock } = this.#options;
    const published = this.#published;
    if (published === undefined || this.#rows === undefined) return Number.POSITIVE_INFINITY;
    const nowMs = clock.nowMs();
    const plan = planMirror(published, this.#rows, nextRev(this.#lastRev, nowMs), nowMs);
    const changes = this.#admit(plan);
    if (changes.length > 0) {
      for (const { rev } of changes) this.#lastRev = Math.max(this.#lastRev, rev);
      await store.transact(encodeRowChanges(self, changes), { signal: this.#stop.signal });
      this.#rows = applyRowChanges(this.#rows, changes);
      this.#options.onChange?.(changes);
    }
    this.#believed = this.#rows;
    if (changes.length === plan.length) {
      this.#hasWrittenAll = true;
      // what was published while the store was busy is another matter, and wakes this loop by itself
      if (this.#published === published) this.#settle(true);
      return Number.POSITIVE_INFINITY;
    }
    this.#settle(false);
    return 1000 / CHANGES_PER_SECOND;
  }

  /** Cuts the plan to what the budgets allow: one for what changed, one for what has to be put back. */
  #admit(plan: readonly RowChange[]): readonly RowChange[] {
    const now = this.#options.clock.monotonicMs();
    const isRestore = (change: RowChange): boolean =>
      !this.#hasWrittenAll || this.#rows?.get(change.n)?.text !== this.#believed.get(change.n)?.text;
    const { restores = [], others = [] } = Object.groupBy(plan, (change) =>
      isRestore(change) ? "restores" : "others",
    );
    const admitted = [...this.#changeBudget.take(others, now), ...this.#restoreBudget.take(restores, now)];
    return admitted.toSorted((a, b) => a.n - b.n);
  }

  /** Looks on when somebody else writes one of these rows, or the store starts anew: then they are read back at once. */
  async #watch(): Promise<void> {
    const { store, self, clock } = this.#options;
    const signal = this.#stop.signal;
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        const subscription = await store.subscribe(watchOwnRows(self), { signal });
        const close = (): void => subscription.close();
        signal.addEventListener("abort", close, { once: true });
        for await (const event of subscription) {
          backoff.reset();
          if (event.type === "change") this.#compare(event.change, event.values);
        }
        signal.removeEventListener("abort", close);
      } catch {
        // the writer's own attempts say why
      }
      if (signal.aborted) return;
      this.look();
      await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
    }
  }

  #compare(change: "insert" | "update" | "delete", values: readonly unknown[]): void {
    const [, n, record] = values;
    const known = this.#rows?.get(Number(n))?.text;
    if (change === "delete" ? known !== undefined : known !== record) this.look();
  }
}
