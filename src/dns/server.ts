import { randomInt } from "node:crypto";
import { parseCidr, cidrParts, type Cidr } from "../model/cluster.ts";
import type { DnsSettings } from "../model/dns-settings.ts";
import type { StoreClient } from "../store/store.ts";
import type { Clock } from "../system/host.ts";
import { startAgentFeed } from "./feed/agent-feed.ts";
import { ACCESS_WORDS, AccessList } from "./packets/access.ts";
import { AnswerCache, CACHE_BYTES } from "./forward/answer-cache.ts";
import { ContainerSink } from "./feed/container-sink.ts";
import { startControlSocket } from "../system/control-socket.ts";
import { controlRequestSchema, type CheckedRequest, type ControlAnswer } from "./operation/control-protocol.ts";
import { COUNTER, COUNTER_BYTES, Counters } from "./telemetry/counters.ts";
import { Forwarder } from "./forward/forwarder.ts";
import { MemberSink } from "./feed/member-sink.ts";
import { MeshState } from "./feed/mesh-state.ts";
import type { PacketLoop, Client } from "./packets/packet-loop.ts";
import { ProblemLog, type Log } from "./telemetry/problem-log.ts";
import { QuestionService } from "./packets/question-service.ts";
import { sayReady } from "../system/ready-notice.ts";
import { Resolvers } from "./forward/resolvers.ts";
import { openSockets, type OpenSockets } from "./packets/sockets.ts";
import { SourceLimit } from "./forward/source-limit.ts";
import { startStoreFeed } from "./feed/store-feed.ts";
import { leavePriorityTo, type Threads } from "../system/thread-priority.ts";
import { startMetrics } from "./operation/metrics.ts";
import { StatusReport } from "./operation/status-report.ts";
import { Zone } from "./zone/zone.ts";
import { ZoneTable } from "./zone/zone-table.ts";

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
  /** Called when starting is over, after a snapshot, and every few seconds: what only the past has needed may be given back. */
  readonly releaseMemory?: () => void;
  /** of this process: those that read packets keep the priority that it has, once there is a table to answer from */
  readonly threads?: Threads;
}

export interface DnsServer {
  /** where it listens, UDP and TCP */
  readonly listening: readonly { readonly host: string; readonly port: number; readonly protocol: "udp" | "tcp" }[];
  /** where metrics are served, once they are */
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  /** Resolves when questions for own names are answered from a table, saved or whole. */
  readonly hasTable: Promise<void>;
  /** Takes over TTL, order and resolvers; everything else holds until the next start. */
  reload(settings: DnsSettings): Promise<void>;
  /** Answers what was asked, saves the table, ends. */
  close(): Promise<void>;
}

/** How long questions under way are waited for at the end. */
const DRAIN_MS = 2_000;

const NEWS_CHECK_MS = 5_000;

/** From a whole snapshot to the garbage collection after it; usually the table has been saved by then. */
const TIDY_MS = 4_000;

/** Code is compiled when it has run for a while, long after the start, and what compiles it is a large part of the program. */
const RELEASE_MS = 15_000;

const NOISE = { junk: "a packet that answers no question", malformed: "an answer that cannot be read" };

/** How exact the times of kept answers are. */
const TIME_MS = 500;

/**
 * Starts jiji-dns: answers `.jiji` from the store's rows, forwards everything else. It starts without store and agent and
 * waits for them inside. Rejects when it cannot listen.
 */
export async function startDnsServer(settings: DnsSettings, ports: DnsServerPorts): Promise<DnsServer> {
  const server = new Server(settings, ports);
  await server.start();
  return server;
}

class Server implements DnsServer {
  readonly #ports: DnsServerPorts;
  readonly #log: ProblemLog;
  readonly #seed = randomInt(2 ** 31);
  readonly #zone: Zone;
  readonly #table: ZoneTable;
  readonly #mesh: MeshState;
  readonly #report: StatusReport;
  readonly #counters = new Counters(new ArrayBuffer(COUNTER_BYTES));
  readonly #access = new AccessList(new Int32Array(ACCESS_WORDS));
  readonly #cache = new AnswerCache(new SharedArrayBuffer(CACHE_BYTES));
  readonly #closing: (() => unknown)[] = [];
  #settings: DnsSettings;
  #sockets: OpenSockets | undefined;
  #service: QuestionService | undefined;
  #resolvers: Resolvers | undefined;
  #forwarder: Forwarder | undefined;
  #metrics: { readonly host: string; readonly port: number } | undefined;
  #current: SharedArrayBuffer | undefined;
  #pending = 0;
  #isFlushDue = false;
  #tidying: NodeJS.Timeout | undefined;
  readonly #hasTable = Promise.withResolvers<void>();

  constructor(settings: DnsSettings, ports: DnsServerPorts) {
    const { clock } = ports;
    this.#settings = settings;
    this.#ports = ports;
    this.#log = new ProblemLog(ports.log, clock);
    this.#zone = new Zone({
      cluster: settings.clusterCidr,
      localFirst: settings.localFirst,
      nowMs: () => clock.nowMs(),
    });
    this.#table = new ZoneTable({
      zone: this.#zone,
      seed: this.#seed,
      ttlSeconds: () => this.#settings.ttlSeconds,
      nowMs: () => clock.nowMs(),
      onTable: (table) => this.#useTable(table),
      pause,
    });
    this.#mesh = new MeshState({
      zone: this.#zone,
      settings,
      clock,
      log: this.#log,
      onChange: () => this.#flushSoon(),
      onNetworks: () => this.#allow(),
      onReadable: () => this.#table.rebuild(),
      pause,
    });
    this.#report = new StatusReport(this.#zone, this.#mesh, this.#table, clock);
  }

  get listening(): DnsServer["listening"] {
    return this.#sockets?.listening ?? [];
  }

  get metrics(): DnsServer["metrics"] {
    return this.#metrics;
  }

  get hasTable(): Promise<void> {
    return this.#hasTable.promise;
  }

  async start(): Promise<void> {
    const { clock, environment } = this.#ports;
    await this.#mesh.load();
    if (this.#mesh.source !== "none") await this.#table.rebuild();
    this.#access.allow(this.#networks());
    this.#tellTime();
    this.#forwarder = new Forwarder({
      resolvers: () => this.#resolvers?.list() ?? Promise.resolve([]),
      clock,
      onNoise: (kind, endpoint) => this.#log.warn(kind, `${endpoint} sent ${NOISE[kind]}`),
    });
    this.#service = new QuestionService({
      seed: this.#seed,
      cluster: this.#range(),
      zone: this.#zone,
      ttlSeconds: () => this.#settings.ttlSeconds,
      forwarder: this.#forwarder,
      limit: new SourceLimit(clock),
      counters: this.#counters,
      cache: this.#cache,
      clock,
    });
    if (this.#current !== undefined) this.#service.useTable(this.#current);
    this.#sockets = await openSockets(this.#settings.listen, {
      ...this.#ports,
      seed: this.#seed,
      cluster: this.#range(),
      table: this.#current,
      networks: this.#networks(),
      cache: this.#cache.memory,
      log: this.#log,
      onQuestion: (loop, packet, client) => void this.#answerPacket(loop, packet, client),
      mayAsk: (address) => this.#access.mayAsk(address),
      answerTcp: (message, address) => this.#answer(message, address, true),
    });
    this.#resolvers = this.#makeResolvers();
    this.#report.attach(this.#sockets, this.#forwarder);
    void this.#hasTable.promise.then(() => this.#leavePriority());
    this.#startFeeds();
    await this.#startOperations();
    this.#tidySoon();
    const releasing = setInterval(() => this.#ports.releaseMemory?.(), RELEASE_MS);
    this.#closing.push(() => clearInterval(releasing));
    sayReady(environment["NOTIFY_SOCKET"]);
  }

  #startFeeds(): void {
    const { store, clock } = this.#ports;
    const { agentSocket, store: where } = this.#settings;
    // The agent's relay compares each stream with the store itself; elsewhere that is done here.
    const probe = where.url.startsWith("unix:") ? {} : { probeMs: 15_000 };
    const sink = new ContainerSink({
      zone: this.#zone,
      isInUse: () => this.#mesh.source !== "none",
      onSnapshot: async () => {
        await this.#mesh.snapshotDone();
        this.#tidySoon();
      },
      onChange: () => this.#mesh.rowsChanged(),
      onUnreadable: (serverId, n) => this.#mesh.rowUnreadable(serverId, n),
      pause,
    });
    const containers = startStoreFeed({
      store,
      clock,
      subscription: "containers",
      sink,
      onConnected: (isConnected, why) => this.#mesh.storeConnected(isConnected, why),
      ...probe,
    });
    this.#closing.push(() => containers.close());
    if (agentSocket === null) {
      const members = new MemberSink(this.#zone, () => this.#mesh.membersChanged());
      const servers = startStoreFeed({
        store,
        clock,
        subscription: "servers",
        sink: members,
        onConnected: () => undefined,
        ...probe,
      });
      this.#closing.push(() => servers.close());
    } else {
      const agent = startAgentFeed({
        path: agentSocket,
        clock,
        onLine: (line) => this.#mesh.agentSaid(line),
        onSilent: (isSilent) => this.#mesh.agentSilent(isSilent),
      });
      this.#closing.push(() => agent.close());
    }
    const timer = setInterval(() => this.#mesh.tick(), NEWS_CHECK_MS);
    const second = setInterval(() => this.#tellTime(), TIME_MS);
    this.#closing.push(
      () => clearInterval(timer),
      () => clearInterval(second),
    );
  }

  async #startOperations(): Promise<void> {
    const { controlSocket, metrics } = this.#settings;
    if (controlSocket !== null) {
      try {
        const control = await startControlSocket<CheckedRequest, ControlAnswer>({
          path: controlSocket,
          mode: 0o660,
          request: controlRequestSchema,
          answer: (request) => this.#report.answer(request),
          refuse: (message) => ({ type: "error", message }),
        });
        this.#closing.push(() => control.close());
      } catch (error) {
        // Names matter more than being asked about them.
        this.#log.warn("control", `control socket ${controlSocket}: ${String(error)}`);
      }
    }
    if (metrics !== null) {
      const service = startMetrics(metrics, this.#report, this.#counters, this.#ports.clock, (where) => {
        this.#metrics = where;
      });
      this.#closing.push(() => service.close());
      await service.tried;
    }
  }

  async reload(settings: DnsSettings): Promise<void> {
    const before = this.#settings;
    this.#settings = {
      ...before,
      ttlSeconds: settings.ttlSeconds,
      localFirst: settings.localFirst,
      upstreams: settings.upstreams,
    };
    this.#resolvers = this.#makeResolvers();
    if (settings.upstreams.join(" ") !== before.upstreams.join(" ")) this.#cache.expire();
    this.#zone.setLocalFirst(settings.localFirst);
    if (this.#mesh.source !== "none") await this.#table.rebuild();
    this.#log.info("settings were read again");
  }

  async close(): Promise<void> {
    clearTimeout(this.#tidying);
    const deadlineMs = this.#ports.clock.monotonicMs() + DRAIN_MS;
    await this.#sockets?.stop();
    while (this.#pending > 0 && this.#ports.clock.monotonicMs() < deadlineMs) await this.#ports.clock.sleep(10);
    await Promise.all(this.#closing.map((close) => close()));
    this.#forwarder?.close();
    await this.#sockets?.close();
    await this.#mesh.save();
    this.#ports.store.close();
  }

  #leavePriority(): void {
    const { threads } = this.#ports;
    const packetThreads = (this.#sockets?.loops ?? []).flatMap(({ thread }) => thread ?? []);
    if (threads === undefined || packetThreads.length === 0) return;
    try {
      leavePriorityTo(new Set(packetThreads), threads);
    } catch (error) {
      this.#log.warn("priority", `all threads keep their priority: ${String(error)}`);
    }
  }

  #tellTime(): void {
    this.#cache.setTime(Math.floor(this.#ports.clock.monotonicMs() / 1000));
  }

  #makeResolvers(): Resolvers {
    return new Resolvers({
      configured: this.#settings.upstreams,
      own: this.#sockets?.listening ?? [],
      clock: this.#ports.clock,
      // Others may say something else, as inside a VPN.
      onChange: () => this.#cache.expire(),
    });
  }

  #range(): { readonly first: number; readonly prefix: number } {
    return cidrParts(this.#settings.clusterCidr);
  }

  #useTable(table: SharedArrayBuffer): void {
    this.#current = table;
    this.#service?.useTable(table);
    for (const loop of this.#sockets?.loops ?? []) loop.useTable(table);
    this.#hasTable.resolve();
  }

  /** Besides loopback, the cluster and this server's own engine networks may ask. */
  #networks(): readonly Cidr[] {
    const own = this.#mesh.networks.map(parseCidr).filter((network): network is Cidr => network !== undefined);
    return [this.#settings.clusterCidr, ...own];
  }

  #allow(): void {
    const networks = this.#networks();
    this.#access.allow(networks);
    for (const loop of this.#sockets?.loops ?? []) loop.allow(networks);
  }

  /**
   * A snapshot leaves several times its own size behind, and a server that has little to do afterwards would keep that for
   * minutes. The packet thread goes on meanwhile.
   */
  #tidySoon(): void {
    clearTimeout(this.#tidying);
    this.#tidying = setTimeout(() => {
      Bun.gc(true);
      this.#ports.releaseMemory?.();
    }, TIDY_MS);
    this.#tidying.unref();
  }

  /** Changes of one turn of the event loop reach the table together, at its end. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      this.#table.flush();
    });
  }

  async #answerPacket(loop: PacketLoop, packet: Uint8Array, client: Client): Promise<void> {
    const answer = await this.#answer(packet, client.address, false);
    if (answer !== undefined) loop.reply(answer, client);
  }

  async #answer(message: Uint8Array, address: number, isTcp: boolean): Promise<Uint8Array | undefined> {
    this.#pending++;
    try {
      return await this.#service?.answer(message, address, isTcp);
    } catch (error) {
      this.#counters.add(COUNTER.faults);
      this.#log.warn("fault", `a question could not be answered: ${String(error)}`);
      return undefined;
    } finally {
      this.#pending--;
    }
  }
}

/** Gives sockets and timers their turn. */
function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
