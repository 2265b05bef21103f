import type { Row } from "../store/store.ts";
import { readFacts } from "./container-facts.ts";
import type { Place } from "./owners.ts";
import type { RowSink } from "./store-feed.ts";
import type { Zone } from "./zone.ts";

export interface ContainerSinkOptions {
  readonly zone: Zone;
  /** Whether somebody looks at what is known, so that it must stay as it is until a snapshot is whole. */
  readonly isInUse: () => boolean;
  /** Called when the zone has taken a whole snapshot in. */
  readonly onSnapshot: () => Promise<void>;
  /** Called after each change. */
  readonly onChange: () => void;
  /** Lets others run, between slices of work. */
  readonly pause: () => Promise<void>;
}

/** Takes the rows of `containers` into the zone. */
export class ContainerSink implements RowSink<Place> {
  readonly #options: ContainerSinkOptions;

  constructor(options: ContainerSinkOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#options.zone.beginSnapshot(this.#options.isInUse());
  }

  snapshotRow([serverId, n, record]: Row): Place | undefined {
    const place = this.#placeOf(serverId, n);
    if (place !== undefined && typeof record === "string") this.#options.zone.snapshotRow(place, readFacts(record));
    return place;
  }

  async snapshotDone(): Promise<void> {
    const { zone, pause, onSnapshot } = this.#options;
    await zone.endSnapshot(pause);
    await onSnapshot();
  }

  set([serverId, n, record]: Row): Place | undefined {
    const place = this.#placeOf(serverId, n);
    if (place === undefined) return undefined;
    this.#options.zone.set(place, typeof record === "string" ? readFacts(record) : undefined);
    this.#options.onChange();
    return place;
  }

  remove(place: Place): void {
    this.#options.zone.set(place, undefined);
    this.#options.onChange();
  }

  isSame(a: Place, b: Place): boolean {
    return a === b;
  }

  #placeOf(serverId: Row[number] | undefined, n: Row[number] | undefined): Place | undefined {
    if (typeof serverId !== "string" || typeof n !== "number") return undefined;
    return this.#options.zone.owners.place(serverId, n);
  }
}
