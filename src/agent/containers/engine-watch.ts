import { messageOf } from "../../model/errors.ts";
import type { Engine, EngineContainer, EngineEvent } from "../../engine/engine.ts";
import type { Clock, Log } from "../../system/host.ts";
import { Backoff, Wake } from "../wake.ts";

/** What is known of the engine's containers on one network. */
export interface EngineView {
  /** by id; what an engine that went away said last is kept */
  readonly containers: ReadonlyMap<string, EngineContainer>;
  /** IPv4 networks of the engine's own bridges, canonical and sorted */
  readonly networks: readonly string[];
  /** how many times the whole list was read since the start; 0: nothing is known yet, and nothing may be concluded */
  readonly fullReads: number;
  /** whether the engine answered when it was last asked */
  readonly isAnswering: boolean;
}

export interface EngineWatchOptions {
  readonly engine: Engine;
  readonly network: string;
  readonly clock: Clock;
  readonly log: Log;
  /** called with every new view */
  readonly onChange: (view: EngineView) => void;
  /** called with every event about a container, before the container is looked at again */
  readonly onEvent?: (event: Extract<EngineEvent, { type: "container" }>) => void;
}

/** The whole list is read again after this long without a reason. */
const FULL_READ_MS = 30_000;

/** After a release the engine is left alone for this long. The full read after it sees what has happened meanwhile. */
const RELEASED_MS = 2_000;

/** When an engine's events give no sign of having begun, the list is read nevertheless. */
const LISTENING_WAIT_MS = 2_000;

/**
 * Keeps a view of the engine's containers: the whole list after each (re)connection of the event stream and from time to
 * time, and single containers when an event names them. All reads are made one after the other, so that a container's state
 * is never replaced by an older one. An engine that does not answer changes nothing in the view.
 */
export function startEngineWatch(options: EngineWatchOptions): EngineWatch {
  return new EngineWatch(options);
}

export class EngineWatch {
  readonly #options: EngineWatchOptions;
  readonly #stop = new AbortController();
  readonly #wake = new Wake();
  readonly #dirty = new Set<string>();
  readonly #done: Promise<unknown>;
  #isFullReadWanted = true;
  #stream = new AbortController();
  #view: EngineView = { containers: new Map(), networks: [], fullReads: 0, isAnswering: true };

  constructor(options: EngineWatchOptions) {
    this.#options = options;
    this.#done = Promise.all([this.#listen(), this.#read()]);
  }

  get view(): EngineView {
    return this.#view;
  }

  /** Reads the whole list again now. */
  look(): void {
    this.#wantFullRead();
  }

  /** Lets go of the event stream for a moment: an engine that is told to stop waits for the end of it. */
  release(): void {
    this.#stream.abort();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.call();
    await this.#done;
  }

  #change(change: Partial<EngineView>): void {
    this.#view = { ...this.#view, ...change };
    this.#options.onChange(this.#view);
  }

  /** Events become work for {@link #read}; every end of the stream means that something may have been missed. */
  async #listen(): Promise<void> {
    const { engine, clock, log } = this.#options;
    const backoff = new Backoff();
    let isBroken = false;
    while (!this.#stop.signal.aborted) {
      this.#stream = new AbortController();
      const { signal } = this.#stream;
      try {
        for await (const event of engine.events(AbortSignal.any([this.#stop.signal, signal]))) {
          if (event.type === "listening") {
            backoff.reset();
            if (isBroken) log.info(`${engine.kind}: events are heard again`);
            isBroken = false;
          }
          this.#take(event);
        }
      } catch (error) {
        const why = messageOf(error);
        if (!isBroken) log.warn(`${engine.kind}: events broke off (${why}); rows stay as they are`);
        isBroken = true;
      }
      if (this.#stop.signal.aborted) return;
      await clock.sleep(signal.aborted ? RELEASED_MS : backoff.nextMs(), this.#stop.signal).catch(() => undefined);
      this.#wantFullRead();
    }
  }

  #take(event: EngineEvent): void {
    if (event.type === "container") {
      this.#options.onEvent?.(event);
      this.#dirty.add(event.id);
      this.#wake.call();
    } else {
      this.#wantFullRead();
    }
  }

  #wantFullRead(): void {
    this.#isFullReadWanted = true;
    this.#wake.call();
  }

  async #read(): Promise<void> {
    const { clock } = this.#options;
    const signal = this.#stop.signal;
    const backoff = new Backoff();
    let lastFullReadMs = clock.monotonicMs();
    await this.#wake.sleep(clock, LISTENING_WAIT_MS, signal);
    while (!signal.aborted) {
      const isDue = this.#isFullReadWanted || clock.monotonicMs() - lastFullReadMs >= FULL_READ_MS;
      const didAnswer = isDue ? await this.#readAll() : await this.#readDirty();
      if (isDue && didAnswer) lastFullReadMs = clock.monotonicMs();
      if (didAnswer) backoff.reset();
      else await clock.sleep(backoff.nextMs(), signal).catch(() => undefined);
      if (!didAnswer || this.#dirty.size > 0 || this.#isFullReadWanted) continue;
      await this.#wake.sleep(clock, Math.max(1, lastFullReadMs + FULL_READ_MS - clock.monotonicMs()), signal);
    }
  }

  async #readAll(): Promise<boolean> {
    const { engine, network, log } = this.#options;
    this.#isFullReadWanted = false;
    const before = new Set(this.#dirty);
    const [list, networks] = await Promise.all([engine.containers(network), engine.networks()]);
    if (this.#stop.signal.aborted) return false;
    if (list.state !== "found" || networks.state !== "found") {
      const reading = list.state === "found" ? networks : list;
      this.#isFullReadWanted = true;
      if (this.#view.isAnswering) {
        const why = reading.state === "unknown" ? reading.why : "not there";
        log.warn(`${engine.kind} does not answer (${why}); rows stay as they are`);
        this.#change({ isAnswering: false });
      }
      return false;
    }
    // events that came while the list was made are looked at on their own
    for (const id of before) this.#dirty.delete(id);
    if (!this.#view.isAnswering) log.info(`${engine.kind} answers again`);
    if (this.#view.fullReads === 0) log.info(`${engine.kind}: ${list.value.length} containers on network ${network}`);
    this.#change({
      containers: new Map(list.value.map((container) => [container.id, container])),
      networks: networks.value.map(({ cidr }) => cidr),
      fullReads: this.#view.fullReads + 1,
      isAnswering: true,
    });
    return true;
  }

  async #readDirty(): Promise<boolean> {
    const { engine, network } = this.#options;
    for (const id of this.#dirty) {
      this.#dirty.delete(id);
      const reading = await engine.container(id);
      if (this.#stop.signal.aborted) return false;
      if (reading.state === "unknown") {
        this.#isFullReadWanted = true;
        return true;
      }
      const isMember = reading.state === "found" && Object.hasOwn(reading.value.networks, network);
      if (!isMember && !this.#view.containers.has(id)) continue;
      const containers = new Map(this.#view.containers);
      if (isMember) containers.set(id, reading.value);
      else containers.delete(id);
      this.#change({ containers });
    }
    return true;
  }
}
