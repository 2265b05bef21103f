import { messageOf } from "../../model/errors.ts";
import { SUBSCRIPTIONS } from "../../store/queries.ts";
import { noticeStall, RowDigest } from "../../store/stall.ts";
import {
  StoreError,
  type Row,
  type StoreClient,
  type Subscription,
  type SubscriptionEvent,
} from "../../store/store.ts";
import type { Clock } from "../../system/host.ts";

/** What takes the rows of one subscription. A place is a number or a text: the key of a row in the store. */
export interface RowSink<Place> {
  /** A new subscription has begun: rows of its snapshot follow, apart from what is known. */
  begin(): void;
  /** A row of the snapshot; undefined when it cannot be read. */
  snapshotRow(values: Row): Place | undefined;
  /** The snapshot is whole and replaces everything before it. */
  snapshotDone(): Promise<void>;
  /** A row was added or replaced. */
  set(values: Row): Place | undefined;
  /** The row at this place is gone. */
  remove(place: Place): void;
}

export interface StoreFeedOptions<Place> {
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly subscription: keyof typeof SUBSCRIPTIONS;
  readonly sink: RowSink<Place>;
  /** Called with true when a snapshot is whole, with false and a reason when the subscription has ended. */
  readonly onConnected: (isConnected: boolean, why: string) => void;
  /** how often the subscription is compared with the store; undefined: somebody else does that */
  readonly probeMs?: number;
}

/** The first and the longest wait before it subscribes again. */
const RETRY_MS = [100, 5_000] as const;

/** After a subscription that was whole for this long, the next one waits no longer than at first. */
const GOOD_MS = 5_000;

/**
 * Follows one of the fixed subscriptions, each time from the start: what is known afterwards is exactly what the store has.
 * When a subscription ends (an error line, a silent end, a gap in the change ids, ids that go back, a stall), the next one
 * follows after a growing wait.
 */
export function startStoreFeed<Place>(options: StoreFeedOptions<Place>): StoreFeed<Place> {
  return new StoreFeed(options);
}

class StoreFeed<Place> {
  readonly #options: StoreFeedOptions<Place>;
  readonly #stop = new AbortController();
  /** the subscription's own numbers of rows → where they stand */
  #places = new Map<number, Place>();
  /** of the subscription under way; its rows stay empty when nothing is compared */
  #told = { events: 0, isWhole: false, rows: new RowDigest() };

  readonly #done: Promise<void>;

  constructor(options: StoreFeedOptions<Place>) {
    this.#options = options;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { clock, onConnected } = this.#options;
    const { signal } = this.#stop;
    let waitMs: number = RETRY_MS[0];
    while (!signal.aborted) {
      let why = "the stream ended";
      const startMs = clock.monotonicMs();
      try {
        await this.#follow();
      } catch (error) {
        why = messageOf(error);
      }
      if (signal.aborted) return;
      onConnected(false, why);
      // Subscriptions that keep ending early must not cost a snapshot each time.
      if (this.#told.isWhole && clock.monotonicMs() - startMs >= GOOD_MS) waitMs = RETRY_MS[0];
      // Half of the wait is random: many servers must not come back at the same moment.
      await clock.sleep(waitMs / 2 + (Math.random() * waitMs) / 2, signal).catch(() => undefined);
      waitMs = Math.min(RETRY_MS[1], waitMs * 2);
    }
  }

  /** One subscription from its start to its end. Throws the reason of its end, if there is one. */
  async #follow(): Promise<void> {
    const told = { events: 0, isWhole: false, rows: new RowDigest() };
    this.#told = told;
    const { store, clock, probeMs, subscription: name } = this.#options;
    const ends = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, ends.signal]);
    const subscription = await store.subscribe({ sql: SUBSCRIPTIONS[name] }, { signal });
    const close = (): void => subscription.close();
    signal.addEventListener("abort", close, { once: true });
    const readStored = (): Promise<RowDigest> => this.#readStored(signal);
    const stall = noticeStall({ clock, signal, told, readStored, probeMs }).then((why) => {
      if (why !== undefined) ends.abort();
      return why;
    });
    try {
      await this.#read(subscription);
      ends.abort();
      const why = await stall;
      if (why !== undefined) throw new StoreError(why);
    } finally {
      ends.abort();
      subscription.close();
      await stall;
    }
  }

  async #read(subscription: Subscription): Promise<void> {
    const { sink, onConnected } = this.#options;
    this.#places = new Map();
    let lastChangeId: number | undefined;
    sink.begin();
    for await (const event of subscription) {
      this.#told.events++;
      if (event.type === "row") {
        this.#digest(event.rowId, event.values);
        this.#keep(event.rowId, sink.snapshotRow(event.values));
      } else if (event.type === "ready") {
        if (this.#told.isWhole) throw new StoreError("a second snapshot in one subscription");
        await sink.snapshotDone();
        this.#told.isWhole = true;
        lastChangeId = event.changeId ?? undefined;
        onConnected(true, "");
      } else if (event.type === "change") {
        if (!this.#told.isWhole) throw new StoreError("a change before the snapshot was whole");
        checkOrder(lastChangeId, event.changeId);
        lastChangeId = event.changeId;
        this.#change(event);
      }
    }
  }

  #change(event: Extract<SubscriptionEvent, { type: "change" }>): void {
    const { sink } = this.#options;
    const before = this.#places.get(event.rowId);
    if (event.change === "delete") {
      this.#told.rows.remove(event.rowId);
      this.#places.delete(event.rowId);
      if (before !== undefined) sink.remove(before);
      return;
    }
    this.#digest(event.rowId, event.values);
    const place = sink.set(event.values);
    if (before !== undefined && before !== place) sink.remove(before);
    this.#keep(event.rowId, place);
  }

  #keep(rowId: number, place: Place | undefined): void {
    if (place === undefined) this.#places.delete(rowId);
    else this.#places.set(rowId, place);
  }

  #digest(rowId: number, values: Row): void {
    if (this.#options.probeMs !== undefined) this.#told.rows.set(rowId, JSON.stringify(values));
  }

  async #readStored(signal: AbortSignal): Promise<RowDigest> {
    const { store, subscription } = this.#options;
    const stored = new RowDigest();
    for await (const values of await store.stream({ sql: SUBSCRIPTIONS[subscription] }, { signal })) {
      stored.add(JSON.stringify(values));
    }
    return stored;
  }
}

function checkOrder(last: number | undefined, next: number): void {
  if (last !== undefined && next !== last + 1) throw new StoreError(`change ${next} came after ${last}`);
}
