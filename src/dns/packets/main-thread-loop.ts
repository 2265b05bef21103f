import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { ACCESS_WORDS, AccessList } from "./access.ts";
import { AnswerCache } from "../forward/answer-cache.ts";
import { COUNTER, COUNTER_BYTES, Counters } from "../telemetry/counters.ts";
import type { PacketLoop, PacketLoopOptions, Client } from "./packet-loop.ts";
import { ASK_ZONE, FORWARD, Responder } from "./responder.ts";
import { TableReader } from "../zone/table.ts";
import { EDNS_UDP_BYTES } from "../wire/wire.ts";

/** A question longer than this is not read, as in the other implementation. */
const MAX_QUESTION_BYTES = 2048;

/**
 * Starts the packet loop on the runtime's own sockets, for systems without recvmmsg. It cannot take a descriptor over.
 * Rejects when the address cannot be bound.
 */
export async function startMainThreadLoop(options: PacketLoopOptions): Promise<PacketLoop> {
  const { socket } = options;
  if ("descriptor" in socket) throw new Error("this packet loop cannot use an inherited socket");
  const loop = new MainThreadLoop(options);
  await loop.bind(socket.address, socket.port);
  return loop;
}

class MainThreadLoop implements PacketLoop {
  readonly kind = "event loop";
  readonly thread = undefined;
  readonly counters = new Counters(new ArrayBuffer(COUNTER_BYTES));
  host = "";
  port = 0;
  readonly #options: PacketLoopOptions;
  readonly #access = new AccessList(new Int32Array(ACCESS_WORDS));
  readonly #responder: Responder;
  readonly #bytes = new Uint8Array(Math.max(MAX_QUESTION_BYTES, EDNS_UDP_BYTES) + 64);
  readonly #view = new DataView(this.#bytes.buffer);
  #isStopped = false;
  #socket: Bun.udp.Socket<"buffer"> | undefined;

  constructor(options: PacketLoopOptions) {
    this.#options = options;
    const cache = options.cache === undefined ? undefined : new AnswerCache(options.cache);
    this.#responder = new Responder(options.seed, options.cluster, cache);
    this.#access.allow(options.networks);
    if (options.table !== undefined) this.useTable(options.table);
  }

  async bind(address: number, port: number): Promise<void> {
    const socket = await Bun.udpSocket({
      hostname: ipv4FromNumber(address),
      port,
      binaryType: "buffer",
      socket: {
        data: (_socket, packet, clientPort, clientHost) => this.#take(packet, clientPort, clientHost),
        error: () => this.counters.add(COUNTER.receiveErrors),
      },
    });
    this.#socket = socket;
    this.host = socket.hostname;
    this.port = socket.port;
  }

  useTable(table: SharedArrayBuffer): void {
    this.#responder.use(new TableReader(table));
  }

  allow(networks: Parameters<PacketLoop["allow"]>[0]): void {
    this.#access.allow(networks);
  }

  reply(packet: Uint8Array, client: Client): void {
    const isSent = this.#socket?.send(packet, client.port, ipv4FromNumber(client.address)) ?? false;
    if (!isSent) this.counters.add(COUNTER.sendErrors);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    this.#socket?.close();
  }

  #take(packet: Uint8Array, port: number, host: string): void {
    if (this.#isStopped) return;
    this.counters.add(COUNTER.batches);
    const source = parseIpv4(host);
    const address = source === undefined ? 0 : ipv4ToNumber(source);
    if (!this.#access.mayAsk(address)) {
      this.counters.add(COUNTER.droppedStranger);
    } else if (packet.length > MAX_QUESTION_BYTES) {
      this.counters.add(COUNTER.droppedTooLong);
    } else {
      this.#answer(packet, { address, port });
    }
  }

  #answer(packet: Uint8Array, client: Client): void {
    this.#bytes.set(packet);
    const answered = this.#responder.answer(this.#view, 0, packet.length, false);
    if (answered > 0) {
      this.counters.question(this.#responder.question.type);
      this.counters.answer(this.#responder.rcode);
      if (this.#responder.isCached) this.counters.add(COUNTER.cacheHits);
      this.reply(this.#bytes.subarray(0, answered), client);
    } else if (answered === FORWARD || answered === ASK_ZONE) {
      this.counters.question(this.#responder.question.type);
      this.counters.add(COUNTER.handedOver);
      this.#options.onQuestion(packet.slice(), client);
    } else {
      this.counters.add(COUNTER.droppedNoQuestion);
    }
  }
}
