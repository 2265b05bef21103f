// Runs on the main thread: starts the packet thread, and deals with what it hands over.
import { Worker } from "node:worker_threads";
import { ipv4FromNumber, ipv4ToNumber } from "../../model/address.ts";
import { AccessList } from "./access.ts";
import { Counters } from "../telemetry/counters.ts";
import { HandOver } from "./hand-over.ts";
import {
  askForBuffers,
  bindDatagram,
  boundAddress,
  closeDescriptor,
  DatagramSender,
  waitAtMost,
} from "../../system/libc.ts";
import type { Client, PacketLoop, PacketLoopOptions } from "./packet-loop.ts";
import {
  accessWords,
  CONTROL,
  handOverWords,
  RING_BYTES,
  SHARED,
  SHARED_BYTES,
  type TableMessage,
  type WorkerMessage,
  type WorkerStart,
} from "./worker-protocol.ts";

/** How often the thread looks whether it shall stop. An idle server wakes no more often than that. */
const RECEIVE_TIMEOUT_MS = 1000;

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** Questions taken from the ring before other work of the main thread gets its turn. */
const TAKE_AT_ONCE = 256;

const RESTART_MS = 100;

/**
 * Starts the packet loop that is a thread of its own (Linux). Rejects when the address cannot be bound or the thread
 * does not start.
 *
 * @param workerUrl the thread's program, which calls `runPacketThread`
 */
export async function startWorkerLoop(options: PacketLoopOptions, workerUrl: URL): Promise<PacketLoop> {
  const { socket } = options;
  const descriptor = "descriptor" in socket ? socket.descriptor : bindDatagram(socket.address, socket.port);
  try {
    const { host, port } = boundAddress(descriptor);
    waitAtMost(descriptor, RECEIVE_TIMEOUT_MS);
    // What is inherited has the buffers that jiji-dns.socket asks for, beyond what this user may have.
    if (!("descriptor" in socket)) askForBuffers(descriptor, SOCKET_BUFFER_BYTES);
    const loop = new WorkerLoop(options, workerUrl, descriptor, host, port);
    await loop.start();
    return loop;
  } catch (error) {
    if (!("descriptor" in socket)) closeDescriptor(descriptor);
    throw error;
  }
}

class WorkerLoop implements PacketLoop {
  readonly kind = "worker";
  readonly host: string;
  readonly port: number;
  readonly counters: Counters;
  thread: number | undefined;
  readonly #options: PacketLoopOptions;
  readonly #workerUrl: URL;
  readonly #descriptor: number;
  readonly #shared = new SharedArrayBuffer(SHARED_BYTES);
  readonly #control = new Int32Array(this.#shared, 0, CONTROL.handOver);
  readonly #ring = new SharedArrayBuffer(RING_BYTES);
  readonly #handOver = new HandOver(handOverWords(this.#shared), this.#ring);
  readonly #access = new AccessList(accessWords(this.#shared));
  readonly #sender: DatagramSender;
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #table: SharedArrayBuffer | undefined;

  constructor(options: PacketLoopOptions, workerUrl: URL, descriptor: number, host: string, port: number) {
    this.#options = options;
    this.#workerUrl = workerUrl;
    this.#descriptor = descriptor;
    this.host = host;
    this.port = port;
    this.counters = new Counters(this.#shared, SHARED.counters);
    this.#sender = new DatagramSender(descriptor);
    this.#table = options.table;
    this.#access.allow(options.networks);
  }

  /** Resolves when the thread reads packets. */
  start(): Promise<void> {
    const { seed, cluster, cache, onProblem } = this.#options;
    const workerData: WorkerStart = {
      descriptor: this.#descriptor,
      seed,
      cluster,
      table: this.#table,
      cache,
      shared: this.#shared,
      ring: this.#ring,
    };
    // The thread allocates next to nothing, so a small heap is enough for it.
    const worker = new Worker(this.#workerUrl, { workerData, smol: true } as WorkerOptions);
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      worker.on("message", (message: WorkerMessage) => {
        if (message.type === "ready") {
          this.thread = message.thread;
          resolve();
        } else if (message.type === "questions") this.#takeQuestions();
        else onProblem(message.text);
      });
      worker.on("error", (error) => {
        const failure = error instanceof Error ? error : new Error(String(error));
        onProblem(`the packet thread failed: ${failure.message}`);
        reject(failure);
      });
      this.#exited = new Promise((exited) => {
        worker.on("exit", () => {
          exited();
          this.#restart();
        });
      });
    });
  }

  useTable(table: SharedArrayBuffer): void {
    this.#table = table;
    const message: TableMessage = { table };
    this.#worker?.postMessage(message);
    Atomics.add(this.#control, CONTROL.messages, 1);
  }

  allow(networks: Parameters<PacketLoop["allow"]>[0]): void {
    this.#access.allow(networks);
  }

  reply(packet: Uint8Array, client: Client): void {
    this.#sender.send(packet, client.address, client.port);
  }

  async stop(): Promise<void> {
    Atomics.store(this.#control, CONTROL.stop, 1);
    this.#wake();
    await this.#exited;
    const { onQuestion } = this.#options;
    while (this.#handOver.read(TAKE_AT_ONCE, (packet, address, port) => onQuestion(packet, { address, port })));
  }

  async close(): Promise<void> {
    await this.stop();
    if (!("descriptor" in this.#options.socket)) closeDescriptor(this.#descriptor);
  }

  /** Sends a packet to the own socket, so that the thread looks at once. */
  #wake(): void {
    const host = ipv4ToNumber(this.host as Parameters<typeof ipv4ToNumber>[0]);
    const address = this.host === ipv4FromNumber(0) ? 0x7f000001 : host;
    this.#sender.send(Uint8Array.of(0), address, this.port);
  }

  #takeQuestions(): void {
    Atomics.store(this.#control, CONTROL.isMainCalled, 0);
    const { onQuestion } = this.#options;
    const hasMore = this.#handOver.read(TAKE_AT_ONCE, (packet, address, port) => onQuestion(packet, { address, port }));
    if (hasMore) setImmediate(() => this.#takeQuestions());
  }

  #restart(): void {
    if (Atomics.load(this.#control, CONTROL.stop) !== 0) return;
    this.#options.onProblem("the packet thread ended; starting it again");
    // The thread may have ended between setting the flag and sending its message. The next one would never send it.
    this.#takeQuestions();
    setTimeout(() => {
      if (Atomics.load(this.#control, CONTROL.stop) !== 0) return;
      this.start().catch(() => undefined);
    }, RESTART_MS);
  }
}
