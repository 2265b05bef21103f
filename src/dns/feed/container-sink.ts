import type { Row } from "../../store/store.ts";
import { readFacts, type ContainerFacts } from "../zone/container-rows.ts";
import type { Place } from "../zone/owners.ts";
import type { RowSink } from "./store-feed.ts";
import type { Zone } from "../zone/zone.ts";

export interface ContainerSinkOptions {
  readonly zone: Zone;
  /** Whether questions are answered from what is known: then it must not change before a snapshot is whole. */
  readonly isInUse: () => boolean;
  /** Called when the zone has taken a whole snapshot in. */
  readonly onSnapshot: () => Promise<void>;
  /** Called after each change. */
  readonly onChange: () => void;
  /** Called for each record that cannot be read, but not for an empty one, which is no container yet. */
  readonly onUnreadable: (serverId: string, n: number) => void;
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
    if (place !== undefined) this.#options.zone.snapshotRow(place, this.#factsOf(serverId, n, record));
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
    this.#options.zone.set(place, this.#factsOf(serverId, n, record));
    this.#options.onChange();
    return place;
  }

  remove(place: Place): void {
    this.#options.zone.set(place, undefined);
    this.#options.onChange();
  }

  #factsOf(serverId: unknown, n: unknown, record: unknown): ContainerFacts | undefined {
    const facts = typeof record === "string" ? readFacts(record) : undefined;
    if (facts === undefined && record !== "") this.#options.onUnreadable(String(serverId), Number(n));
    return facts;
  }

  #placeOf(serverId: Row[number] | undefined, n: Row[number] | undefined): Place | undefined {
    if (typeof serverId !== "string" || typeof n !== "number") return undefined;
    return this.#options.zone.owners.place(serverId, n);
  }
}
