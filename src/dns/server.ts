import { randomInt } from "node:crypto";
import type { DnsSettings } from "../model/dns-settings.ts";
import type { StoreClient } from "../store/store.ts";
import type { Clock, Log } from "../system/host.ts";
import { sayReady } from "../system/ready-notice.ts";
import type { Threads } from "../system/thread-priority.ts";
import { Sources } from "./feed/sources.ts";
import { Operations } from "./operation/operations.ts";
import { Listeners } from "./packets/listeners.ts";
import { ProblemLog } from "./telemetry/problem-log.ts";

/** What the server works with; the real ones are built by the entry point. */
export interface DnsServerPorts {
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly log: Log;
  /** the program of the packet thread, `src/bin/dns-worker.ts`; undefined: no thread, the event loop reads packets */
  readonly workerUrl: URL | undefined;
  /** this process's environment (LISTEN_FDS, NOTIFY_SOCKET) and id */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  /** Gives back memory that is not needed any more. Called after a snapshot and every few seconds. */
  readonly releaseMemory?: () => void;
  /** this process's threads. Once there is a table, only those that read packets keep the process's priority */
  readonly threads?: Threads;
}

/**
 * Starts jiji-dns: answers `.jiji` from the store's rows, forwards everything else. It starts without store and agent and
 * waits for them inside. Rejects when it cannot listen.
 */
export async function startDnsServer(settings: DnsSettings, ports: DnsServerPorts): Promise<DnsServer> {
  const server = new DnsServer(settings, ports);
  await server.start();
  return server;
}

/** Joins its three parts: what it listens on, what it answers from, and what looks after it. */
export class DnsServer {
  readonly #ports: DnsServerPorts;
  readonly #log: ProblemLog;
  readonly #sources: Sources;
  readonly #listeners: Listeners;
  readonly #operations: Operations;
  readonly #hasTable = Promise.withResolvers<void>();
  #ttlSeconds: number;

  constructor(settings: DnsSettings, ports: DnsServerPorts) {
    const { clock, releaseMemory, threads } = ports;
    const log = new ProblemLog(ports.log, clock);
    const ttlSeconds = (): number => this.#ttlSeconds;
    const shared = { ...ports, settings, log, seed: randomInt(2 ** 31), ttlSeconds };
    this.#ports = ports;
    this.#log = log;
    this.#ttlSeconds = settings.ttlSeconds;
    this.#sources = new Sources({
      ...shared,
      onTable: (table) => {
        this.#listeners.useTable(table);
        this.#hasTable.resolve();
      },
      onNetworks: () => this.#listeners.allow(this.#sources.networks),
      onSnapshot: () => this.#operations.tidySoon(),
    });
    this.#listeners = new Listeners({ ...shared, zone: this.#sources.zone });
    const [sources, listeners] = [this.#sources, this.#listeners];
    this.#operations = new Operations({ settings, sources, listeners, clock, log, releaseMemory, threads });
  }

  /** Where it listens, UDP and TCP. */
  get listening(): readonly { readonly host: string; readonly port: number; readonly protocol: "udp" | "tcp" }[] {
    return this.#listeners.sockets?.listening ?? [];
  }

  /** Where metrics are served, once they are. */
  get metrics(): { readonly host: string; readonly port: number } | undefined {
    return this.#operations.metrics;
  }

  /** Resolves when questions for own names are answered from a table, saved or whole. */
  get hasTable(): Promise<void> {
    return this.#hasTable.promise;
  }

  async start(): Promise<void> {
    await this.#sources.load();
    await this.#listeners.open(this.#sources.networks);
    void this.hasTable.then(() => this.#operations.leavePriority());
    this.#sources.start();
    await this.#operations.start();
    sayReady(this.#ports.environment["NOTIFY_SOCKET"]);
  }

  /** Takes over TTL, order and resolvers; everything else holds until the next start. */
  async reload({ ttlSeconds, localFirst, upstreams }: DnsSettings): Promise<void> {
    this.#ttlSeconds = ttlSeconds;
    this.#listeners.setUpstreams(upstreams);
    this.#sources.zone.setLocalFirst(localFirst);
    await this.#sources.rebuild();
    this.#log.info("settings were read again");
  }

  /** Answers what was asked, saves the table, ends. */
  async close(): Promise<void> {
    await this.#listeners.drain();
    await Promise.all([this.#operations.close(), this.#sources.stop()]);
    await this.#listeners.close();
    await this.#sources.mesh.save();
    this.#ports.store.close();
  }
}
