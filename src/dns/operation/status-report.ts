import type { Clock } from "../../system/host.ts";
import type { CheckedRequest, ControlAnswer, StatusAnswer, TraceAnswer } from "./control-protocol.ts";
import type { MeshState } from "../feed/mesh-state.ts";
import type { Sources } from "../feed/sources.ts";
import type { ForwarderCounts } from "../forward/forwarder.ts";
import type { Listeners } from "../packets/listeners.ts";
import type { OpenSockets } from "../packets/sockets.ts";
import type { CounterName, Latency } from "../telemetry/counters.ts";
import { traceContainer, traceName } from "./trace.ts";
import { listNames } from "./name-listing.ts";
import type { ZoneTable } from "../zone/zone-table.ts";
import type { Zone } from "../zone/zone.ts";

/** What a running server can tell of itself, for the control socket and for metrics. */
export class StatusReport {
  readonly zone: Zone;
  readonly table: ZoneTable;
  readonly mesh: MeshState;
  readonly #listeners: Listeners;
  readonly #clock: Clock;
  readonly #startedMs: number;

  constructor({ zone, table, mesh }: Sources, listeners: Listeners, clock: Clock) {
    this.zone = zone;
    this.table = table;
    this.mesh = mesh;
    this.#listeners = listeners;
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  get services(): OpenSockets["services"] {
    return this.#listeners.sockets?.services ?? [];
  }

  get forwards(): ForwarderCounts {
    return this.#listeners.forwarder.counts;
  }

  /** What resolvers' answers took. */
  get latency(): Latency {
    return this.#listeners.forwarder.latency;
  }

  /** A counter of packets, of all threads together. */
  count(name: CounterName): number {
    const { counters, sockets } = this.#listeners;
    return (sockets?.loops ?? []).reduce((sum, loop) => sum + loop.counters.get(name), counters.get(name));
  }

  /** Rows of the store that are there and do not count. */
  ignoredRows(): number {
    const stored = this.zone.owners.all().reduce((sum, { rows }) => sum + rows.size, 0);
    return Math.max(0, stored - this.zone.rowCount);
  }

  /** Answers the control socket. */
  async answer(request: CheckedRequest): Promise<ControlAnswer> {
    const { zone } = this;
    if (request.type === "status") return this.status();
    await this.table.inStep();
    if (request.type === "trace") {
      const resolvers = this.#listeners.forwarder.resolvers.map(({ endpoint }) => endpoint);
      return { type: "trace", view: this.#view(), trace: traceName(this.table, request.name), resolvers };
    }
    if (request.type === "container") {
      return { type: "container", view: this.#view(), rows: [...traceContainer(zone, request.id)] };
    }
    return {
      type: "names",
      server: this.#view().server,
      ttlSeconds: this.table.ttlSeconds,
      source: this.mesh.source,
      names: await listNames(zone, request.filter ?? ""),
    };
  }

  #view(): TraceAnswer["view"] {
    const { zone } = this;
    const server = zone.servers.find(({ id }) => id === zone.self)?.name ?? null;
    const { source, store, agent } = this.mesh;
    return { server, source, store, agent };
  }

  status(): StatusAnswer {
    const { zone } = this;
    const { loops = [], listening: sockets = [] } = this.#listeners.sockets ?? {};
    const listening = sockets.map(({ host, port, protocol }) => ({
      address: `${host}:${port}`,
      protocol,
      loop: protocol === "tcp" ? "event loop" : (loops.find((loop) => loop.port === port)?.kind ?? ""),
    }));
    return {
      type: "status",
      source: this.mesh.source,
      store: this.mesh.store,
      agent: this.mesh.agent,
      servers: zone.servers.length,
      rows: zone.rowCount,
      names: zone.claims.labelCount,
      shadowed: zone.claims.claimCount - zone.claims.labelCount,
      listening,
      resolvers: this.#listeners.forwarder.resolvers.map(({ endpoint, isTrusted }) => ({
        endpoint,
        trusted: isTrusted,
      })),
      uptimeSeconds: Math.round((this.#clock.monotonicMs() - this.#startedMs) / 1000),
    };
  }
}
