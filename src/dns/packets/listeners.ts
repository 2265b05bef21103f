import { cidrParts, type Cidr } from "../../model/cluster.ts";
import type { DnsSettings } from "../../model/dns-settings.ts";
import type { Clock } from "../../system/host.ts";
import { AnswerCache, CACHE_BYTES } from "../forward/answer-cache.ts";
import { Forwarder } from "../forward/forwarder.ts";
import { Resolvers } from "../forward/resolvers.ts";
import { SourceLimit } from "../forward/source-limit.ts";
import { COUNTER, COUNTER_BYTES, Counters } from "../telemetry/counters.ts";
import type { ProblemLog } from "../telemetry/problem-log.ts";
import type { Zone } from "../zone/zone.ts";
import { ACCESS_WORDS, AccessList } from "./access.ts";
import { QuestionService } from "./question-service.ts";
import { openSockets, type OpenSockets, type SocketsOptions } from "./sockets.ts";

export interface ListenersOptions extends Pick<SocketsOptions, "workerUrl" | "environment" | "pid"> {
  readonly settings: DnsSettings;
  readonly zone: Zone;
  readonly clock: Clock;
  readonly log: ProblemLog;
  /** the process's seed for hashes of names */
  readonly seed: number;
  readonly ttlSeconds: () => number;
}

/** How long questions under way are waited for at the end. */
const DRAIN_MS = 2_000;

/** How exact the times of kept answers are. */
const TIME_MS = 500;

const NOISE = { junk: "a packet that answers no question", malformed: "an answer that cannot be read" };

/** What jiji-dns listens on, and what answers there: from a table, from the zone, or by asking resolvers. */
export class Listeners {
  readonly counters = new Counters(new ArrayBuffer(COUNTER_BYTES));
  readonly forwarder: Forwarder;
  readonly #options: ListenersOptions;
  readonly #access = new AccessList(new Int32Array(ACCESS_WORDS));
  readonly #cache = new AnswerCache(new SharedArrayBuffer(CACHE_BYTES));
  readonly #service: QuestionService;
  #table: SharedArrayBuffer | undefined;
  #sockets: OpenSockets | undefined;
  #upstreams: DnsSettings["upstreams"];
  #resolvers: Resolvers | undefined;
  #clockTicks: NodeJS.Timeout | undefined;
  #pending = 0;

  constructor(options: ListenersOptions) {
    const { settings, clock, log } = options;
    this.#options = options;
    this.#upstreams = settings.upstreams;
    this.forwarder = new Forwarder({
      resolvers: () => this.#resolvers?.list() ?? Promise.resolve([]),
      clock,
      onNoise: (kind, endpoint) => log.warn(kind, `${endpoint} sent ${NOISE[kind]}`),
    });
    this.#service = new QuestionService({
      ...options,
      cluster: cidrParts(settings.clusterCidr),
      forwarder: this.forwarder,
      limit: new SourceLimit(clock),
      counters: this.counters,
      cache: this.#cache,
    });
  }

  /** Undefined until {@link open}. */
  get sockets(): OpenSockets | undefined {
    return this.#sockets;
  }

  /** Opens what the settings say. Throws a {@link JijiError} when that cannot be. */
  async open(networks: readonly Cidr[]): Promise<void> {
    const { settings } = this.#options;
    this.#access.allow(networks);
    this.#tellTime();
    this.#sockets = await openSockets(settings.listen, {
      ...this.#options,
      cluster: cidrParts(settings.clusterCidr),
      table: this.#table,
      networks,
      cache: this.#cache.memory,
      onQuestion: (loop, packet, client) => {
        void this.#answer(packet, client.address, false).then((answer) => {
          if (answer !== undefined) loop.reply(answer, client);
        });
      },
      mayAsk: (address) => this.#access.mayAsk(address),
      answerTcp: (message, address) => this.#answer(message, address, true),
    });
    this.#clockTicks = setInterval(() => this.#tellTime(), TIME_MS);
    this.#useResolvers();
  }

  /** Questions are answered from this table from now on. */
  useTable(table: SharedArrayBuffer): void {
    this.#table = table;
    this.#service.useTable(table);
    for (const loop of this.#sockets?.loops ?? []) loop.useTable(table);
  }

  /** Besides loopback, exactly these may ask. */
  allow(networks: readonly Cidr[]): void {
    this.#access.allow(networks);
    for (const loop of this.#sockets?.loops ?? []) loop.allow(networks);
  }

  /** Asks these resolvers from now on. What other ones said is used only while none of these answers. */
  setUpstreams(upstreams: DnsSettings["upstreams"]): void {
    if (upstreams.join(" ") !== this.#upstreams.join(" ")) this.#cache.expire();
    this.#upstreams = upstreams;
    this.#useResolvers();
  }

  /** Reads no more questions, and waits a while for those under way. */
  async drain(): Promise<void> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + DRAIN_MS;
    await this.#sockets?.stop();
    while (this.#pending > 0 && clock.monotonicMs() < deadlineMs) await clock.sleep(10);
  }

  async close(): Promise<void> {
    clearInterval(this.#clockTicks);
    this.forwarder.close();
    await this.#sockets?.close();
  }

  #useResolvers(): void {
    this.#resolvers = new Resolvers({
      configured: this.#upstreams,
      own: this.#sockets?.listening ?? [],
      clock: this.#options.clock,
      // Others may say something else, as inside a VPN.
      onChange: () => this.#cache.expire(),
    });
  }

  #tellTime(): void {
    this.#cache.setTime(Math.floor(this.#options.clock.monotonicMs() / 1000));
  }

  async #answer(message: Uint8Array, address: number, isTcp: boolean): Promise<Uint8Array | undefined> {
    this.#pending++;
    try {
      return await this.#service.answer(message, address, isTcp);
    } catch (error) {
      this.counters.add(COUNTER.faults);
      this.#options.log.warn("fault", `a question could not be answered: ${String(error)}`);
      return undefined;
    } finally {
      this.#pending--;
    }
  }
}
