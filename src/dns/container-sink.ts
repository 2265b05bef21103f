import type { Row } from "../store/store.ts";
import type { ContainerRow, Owner } from "./container-row.ts";
import type { RowSink } from "./store-feed.ts";
import type { Zone } from "./zone.ts";

/** A row's place: its key in the store. */
export type Place = Pick<ContainerRow, "owner" | "n">;

export interface ContainerSinkOptions {
  readonly zone: Zone;
  /** Called when the zone has taken a whole snapshot in. */
  readonly onSnapshot: () => Promise<void>;
  /** Called after each change. */
  readonly onChange: () => void;
  /** Lets others run, between slices of work. */
  readonly pause: () => Promise<void>;
}

/** Rows taken in between two pauses; takes about a millisecond. */
const SLICE_ROWS = 500;

/** A key that no agent writes: its row is not there. */
const MAX_KEY_CHARS = 64;

/** Takes the rows of `containers` into the zone. */
export class ContainerSink implements RowSink<Place> {
  readonly #options: ContainerSinkOptions;
  /** the snapshot so far: owner → n → row */
  #snapshot = new Map<Owner, Map<number, ContainerRow>>();

  constructor(options: ContainerSinkOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#snapshot = new Map();
  }

  snapshotRow(values: Row): Place | undefined {
    const key = keyOf(values);
    const row = key === undefined ? undefined : this.#options.zone.readRow(key.serverId, key.n, key.record);
    if (row === undefined) return key === undefined ? undefined : this.#options.zone.placeOf(key.serverId, key.n);
    const rows = this.#snapshot.get(row.owner);
    if (rows === undefined) this.#snapshot.set(row.owner, new Map([[row.n, row]]));
    else rows.set(row.n, row);
    return row;
  }

  async snapshotDone(): Promise<void> {
    const { zone, pause, onSnapshot } = this.#options;
    const snapshot = this.#snapshot;
    this.#snapshot = new Map();
    let count = 0;
    for (const owner of zone.owners()) {
      const rows = snapshot.get(owner);
      for (const n of [...owner.rows.keys()]) if (rows?.has(n) !== true) zone.setRow(owner, n, undefined);
      for (const [n, row] of rows ?? []) {
        zone.setRow(owner, n, row);
        if (++count % SLICE_ROWS === 0) await pause();
      }
    }
    await onSnapshot();
  }

  set(values: Row): Place | undefined {
    const key = keyOf(values);
    if (key === undefined) return undefined;
    const place = this.#options.zone.setRecord(key.serverId, key.n, key.record);
    this.#options.onChange();
    return place;
  }

  remove({ owner, n }: Place): void {
    this.#options.zone.setRow(owner, n, undefined);
    this.#options.onChange();
  }

  isSame(a: Place, b: Place): boolean {
    return a.owner === b.owner && a.n === b.n;
  }
}

function keyOf([serverId, n, record]: Row): { serverId: string; n: number; record: string } | undefined {
  if (typeof serverId !== "string" || serverId === "" || serverId.length > MAX_KEY_CHARS) return undefined;
  if (typeof n !== "number" || !Number.isSafeInteger(n) || n < 0 || typeof record !== "string") return undefined;
  return { serverId, n, record };
}
