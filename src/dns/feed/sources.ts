import { parseCidr, type Cidr } from "../../model/cluster.ts";
import type { DnsSettings } from "../../model/dns-settings.ts";
import type { StoreClient } from "../../store/store.ts";
import type { Clock } from "../../system/host.ts";
import type { ProblemLog } from "../telemetry/problem-log.ts";
import { ZoneTable } from "../zone/zone-table.ts";
import { Zone } from "../zone/zone.ts";
import { startAgentFeed } from "./agent-feed.ts";
import { ContainerSink } from "./container-sink.ts";
import { MemberSink } from "./member-sink.ts";
import { MeshState } from "./mesh-state.ts";
import { startStoreFeed } from "./store-feed.ts";

export interface SourcesOptions {
  readonly settings: DnsSettings;
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly log: ProblemLog;
  /** the process's seed for hashes of names */
  readonly seed: number;
  readonly ttlSeconds: () => number;
  /** Called with each new table, whole; from then on questions are answered from it. */
  readonly onTable: (table: SharedArrayBuffer) => void;
  /** Called when other networks may ask. */
  readonly onNetworks: () => void;
  /** Called when a whole snapshot of the store was taken in. */
  readonly onSnapshot: () => void;
}

const TICK_MS = 5_000;

/** What jiji-dns answers `.jiji` from: the zone, the table made of it, and the feeds that keep both in step. */
export class Sources {
  readonly zone: Zone;
  readonly table: ZoneTable;
  readonly mesh: MeshState;
  readonly #options: SourcesOptions;
  readonly #closing: (() => unknown)[] = [];
  #isFlushDue = false;

  constructor(options: SourcesOptions) {
    const { settings, clock, log, seed, ttlSeconds, onTable, onNetworks } = options;
    const nowMs = (): number => clock.nowMs();
    this.#options = options;
    this.zone = new Zone({ cluster: settings.clusterCidr, localFirst: settings.localFirst, nowMs });
    this.table = new ZoneTable({ zone: this.zone, seed, ttlSeconds, nowMs, onTable, pause });
    this.mesh = new MeshState({
      ...{ zone: this.zone, settings, clock, log, onNetworks, pause },
      onChange: () => this.#flushSoon(),
      onReadable: () => this.table.rebuild(),
    });
  }

  /** Who may ask besides loopback: the cluster, and this server's own engine networks. */
  get networks(): readonly Cidr[] {
    const own = this.mesh.networks.map(parseCidr).filter((network): network is Cidr => network !== undefined);
    return [this.#options.settings.clusterCidr, ...own];
  }

  /** Reads the saved table, if there is one, and answers from it. */
  async load(): Promise<void> {
    await this.mesh.load();
    await this.rebuild();
  }

  /** Writes the table anew, if there is something to write. */
  async rebuild(): Promise<void> {
    if (this.mesh.source !== "none") await this.table.rebuild();
  }

  /** Follows store and agent until {@link stop}. */
  start(): void {
    const { mesh } = this;
    const { clock, settings, onSnapshot } = this.#options;
    const containers = new ContainerSink({
      zone: this.zone,
      isInUse: () => mesh.source !== "none",
      onSnapshot: async () => {
        await mesh.snapshotDone();
        onSnapshot();
      },
      onChange: () => mesh.rowsChanged(),
      onUnreadable: (serverId, n) => mesh.rowUnreadable(serverId, n),
      pause,
    });
    this.#follow("containers", containers, (isConnected, why) => mesh.storeConnected(isConnected, why));
    if (settings.agentSocket === null) {
      this.#follow("servers", new MemberSink(this.zone, () => mesh.membersChanged()), () => undefined);
    } else {
      const agent = startAgentFeed({
        ...{ path: settings.agentSocket, clock },
        onLine: (line) => mesh.agentSaid(line),
        onSilent: (isSilent) => mesh.agentSilent(isSilent),
      });
      this.#closing.push(() => agent.close());
    }
    const ticks = setInterval(() => mesh.tick(), TICK_MS);
    this.#closing.push(() => clearInterval(ticks));
  }

  #follow<Place>(
    subscription: Parameters<typeof startStoreFeed<Place>>[0]["subscription"],
    sink: Parameters<typeof startStoreFeed<Place>>[0]["sink"],
    onConnected: (isConnected: boolean, why: string) => void,
  ): void {
    const { store, clock, settings } = this.#options;
    // The agent's relay compares each stream with the store itself; elsewhere that is done here.
    const probe = settings.store.url.startsWith("unix:") ? {} : { probeMs: 15_000 };
    const feed = startStoreFeed({ store, clock, subscription, sink, onConnected, ...probe });
    this.#closing.push(() => feed.close());
  }

  /** Ends all feeds. */
  async stop(): Promise<void> {
    await Promise.all(this.#closing.map((close) => close()));
  }

  /** Changes of one turn of the event loop reach the table together, at its end. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      this.table.flush();
    });
  }
}

/** Gives sockets and timers their turn. */
function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
