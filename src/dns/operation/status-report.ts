import type { Clock } from "../../system/host.ts";
import type { CheckedRequest, ControlAnswer, StatusAnswer, TraceAnswer } from "./control-protocol.ts";
import type { Forwarder } from "../forward/forwarder.ts";
import type { MeshState } from "../feed/mesh-state.ts";
import type { OpenSockets } from "../packets/sockets.ts";
import { traceContainer, traceName } from "./trace.ts";
import { listNames } from "./name-listing.ts";
import type { ZoneTable } from "../zone/zone-table.ts";
import type { Zone } from "../zone/zone.ts";

/** What a running server can tell of itself, for the control socket and for metrics. */
export class StatusReport {
  readonly zone: Zone;
  readonly table: ZoneTable;
  readonly #mesh: MeshState;
  readonly #clock: Clock;
  readonly #startedMs: number;
  #sockets: OpenSockets | undefined;
  #forwarder: Forwarder | undefined;

  constructor(zone: Zone, mesh: MeshState, table: ZoneTable, clock: Clock) {
    this.zone = zone;
    this.table = table;
    this.#mesh = mesh;
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  /** What is there only once the server listens. */
  attach(sockets: OpenSockets, forwarder: Forwarder): void {
    this.#sockets = sockets;
    this.#forwarder = forwarder;
  }

  get sockets(): OpenSockets | undefined {
    return this.#sockets;
  }

  get forwarder(): Forwarder | undefined {
    return this.#forwarder;
  }

  /** Records that could not be read since the start. */
  unreadable(): number {
    return this.#mesh.unreadable;
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
      const resolvers = (this.#forwarder?.resolvers ?? []).map(({ endpoint }) => endpoint);
      return { type: "trace", view: this.#view(), trace: traceName(this.table, request.name), resolvers };
    }
    if (request.type === "container") {
      return { type: "container", view: this.#view(), rows: [...traceContainer(zone, request.id)] };
    }
    const names = await listNames(zone, request.filter ?? "");
    return {
      type: "names",
      server: this.#view().server,
      ttlSeconds: this.table.ttlSeconds,
      source: this.#mesh.source,
      names: names.map(({ records, shadowed, ...name }) => ({
        ...name,
        records: [...records],
        shadowed: [...shadowed],
      })),
    };
  }

  #view(): TraceAnswer["view"] {
    const { zone } = this;
    const server = zone.servers.find(({ id }) => id === zone.self)?.name ?? null;
    const { source, store, agent } = this.#mesh;
    return { server, source, store, agent };
  }

  status(): StatusAnswer {
    const { zone } = this;
    const loops = this.#sockets?.loops ?? [];
    const listening = (this.#sockets?.listening ?? []).map(({ host, port, protocol }) => ({
      address: `${host}:${port}`,
      protocol,
      loop: protocol === "tcp" ? "event loop" : (loops.find((loop) => loop.port === port)?.kind ?? ""),
    }));
    return {
      type: "status",
      source: this.#mesh.source,
      store: this.#mesh.store,
      agent: this.#mesh.agent,
      servers: zone.servers.length,
      rows: zone.rowCount,
      names: zone.claims.labelCount,
      shadowed: zone.claims.claimCount - zone.claims.labelCount,
      listening,
      resolvers: (this.#forwarder?.resolvers ?? []).map(({ endpoint, isTrusted }) => ({
        endpoint,
        trusted: isTrusted,
      })),
      uptimeSeconds: Math.round((this.#clock.monotonicMs() - this.#startedMs) / 1000),
    };
  }
}
