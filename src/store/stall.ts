import type { Clock } from "../system/host.ts";

/** A change shows in a subscription within about a second, however busy the store is; a longer difference is a stall. */
const SETTLE_MS = 5_000;
/** Comparing may take one part in this many of the time: 64,515 rows take a third of a second. */
const PROBE_SHARE = 200;
/** Corrosion gives the first query of a subscription 15 s; nothing at all for this long is a stall. */
const SNAPSHOT_SILENCE_MS = 30_000;

/** Rows reduced to one number each; two sets of rows are compared by their number and the sum. */
export class RowDigest {
  readonly #hashes = new Map<number, number>();
  #count = 0;
  /** of 32-bit numbers, so exact for two million rows */
  #sum = 0;

  /** Adds a row that will not be replaced, as text; gives its hash. */
  add(text: string): number {
    const hash = Bun.hash.xxHash32(text);
    this.#count++;
    this.#sum += hash;
    return hash;
  }

  /** Adds the row with this number, or replaces it. */
  set(rowId: number, text: string): void {
    this.remove(rowId);
    this.#hashes.set(rowId, this.add(text));
  }

  remove(rowId: number): void {
    const hash = this.#hashes.get(rowId);
    if (hash === undefined) return;
    this.#hashes.delete(rowId);
    this.#count--;
    this.#sum -= hash;
  }

  equals(other: RowDigest): boolean {
    return this.#count === other.#count && this.#sum === other.#sum;
  }
}

/** What a subscription has told so far. */
export interface Told {
  /** anything that came, counted */
  readonly events: number;
  /** whether its snapshot was whole */
  readonly isWhole: boolean;
  readonly rows: RowDigest;
}

export interface StallOptions {
  readonly clock: Clock;
  /** aborted when the subscription has ended */
  readonly signal: AbortSignal;
  readonly told: Told;
  /** the store's own rows at this moment; undefined when it does not say, which proves nothing about the subscription */
  readonly readStored: () => Promise<RowDigest | undefined>;
  /** how often both are compared, less often when that takes long; undefined: only the snapshot is watched */
  readonly probeMs: number | undefined;
}

/**
 * Watches a subscription: it has no heartbeat, and was seen to fall silent for good. Resolves with what is wrong when the
 * store keeps having rows that the subscription has not told; with undefined when the subscription ends.
 */
export async function noticeStall(options: StallOptions): Promise<string | undefined> {
  const { clock, signal, told, readStored, probeMs } = options;
  try {
    for (let known = -1; !told.isWhole;) {
      if (known === told.events) return "the subscription's snapshot stopped half-way";
      known = told.events;
      await clock.sleep(SNAPSHOT_SILENCE_MS, signal);
    }
    if (probeMs === undefined) return undefined;
    for (let waitMs = probeMs; ;) {
      await clock.sleep(waitMs, signal);
      const startedMs = clock.monotonicMs();
      const stored = await readStored().catch(() => undefined);
      waitMs = Math.max(probeMs, (clock.monotonicMs() - startedMs) * PROBE_SHARE);
      if (stored === undefined || told.rows.equals(stored)) continue;
      const { events } = told;
      await clock.sleep(SETTLE_MS, signal);
      // A stream that still speaks is behind, not stuck: it is compared again later.
      if (told.events === events && !told.rows.equals(stored)) return "the subscription has fallen silent";
    }
  } catch {
    // The signal has ended a wait.
    return undefined;
  }
}
