import type { Cidr } from "../../model/cluster.ts";
import type { Counters } from "../telemetry/counters.ts";
import type { ClusterRange } from "../wire/reverse.ts";

/** Who asked: an IPv4 address as a number, and a port. */
export interface Client {
  readonly address: number;
  readonly port: number;
}

export interface PacketLoopOptions {
  /** an address to bind (port 0: any), or a bound datagram socket's descriptor */
  readonly socket: { readonly address: number; readonly port: number } | { readonly descriptor: number };
  /** the process's seed for hashes of names */
  readonly seed: number;
  readonly cluster: ClusterRange;
  /** in force from the first packet on: the table, if there is one, and who may ask besides loopback */
  readonly table: SharedArrayBuffer | undefined;
  readonly networks: readonly Cidr[];
  /** what resolvers have answered (an AnswerCache's memory); undefined: nothing is kept */
  readonly cache?: SharedArrayBuffer | undefined;
  /** Called with a copy of each question that the table does not answer. */
  readonly onQuestion: (packet: Uint8Array, client: Client) => void;
  /** Called when something is wrong with the loop itself, not with a packet. */
  readonly onProblem: (text: string) => void;
}

/**
 * Answers the questions of one UDP socket from the table, and hands the others over. There are two implementations: a
 * thread of its own that calls recvmmsg and sendmmsg (worker-loop.ts), and the runtime's sockets on the main thread
 * (main-thread-loop.ts). Both behave alike.
 */
export interface PacketLoop {
  readonly kind: "worker" | "event loop";
  readonly host: string;
  readonly port: number;
  readonly counters: Counters;
  /** number of the thread that does nothing else, on Linux; undefined: there is none */
  readonly thread: number | undefined;
  /** From the next batch of packets on, questions are answered from this table. */
  useTable(table: SharedArrayBuffer): void;
  /** Who may ask from now on, besides loopback. */
  allow(networks: readonly Cidr[]): void;
  /** Sends an answer to a question that was handed over. */
  reply(packet: Uint8Array, client: Client): void;
  /** Answers or hands over what has come already, and reads no more; replies still go out. */
  stop(): Promise<void>;
  /** Stops, and lets go of the socket. */
  close(): Promise<void>;
}
