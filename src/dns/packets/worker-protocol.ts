// Read by both threads: what the main thread (worker-loop.ts) and the packet thread (packet-worker.ts) share and say.
import { ACCESS_WORDS } from "./access.ts";
import { COUNTER_BYTES } from "../telemetry/counters.ts";
import { HAND_OVER_WORDS } from "./hand-over.ts";
import type { ClusterRange } from "../wire/reverse.ts";

/** What the main thread gives the packet thread at its start. */
export interface WorkerStart {
  readonly descriptor: number;
  readonly seed: number;
  readonly cluster: ClusterRange;
  readonly table: SharedArrayBuffer | undefined;
  /** what resolvers have answered, if that is kept */
  readonly cache: SharedArrayBuffer | undefined;
  /** {@link CONTROL} words, the access list, the counters */
  readonly shared: SharedArrayBuffer;
  /** packets on their way to the main thread */
  readonly ring: SharedArrayBuffer;
}

/** What the main thread sends later; read when `CONTROL.messages` says that there is something. */
export interface TableMessage {
  readonly table: SharedArrayBuffer;
}

/** Words of control. */
export const CONTROL = {
  /** set by the main thread: finish */
  stop: 0,
  /** counted up by the main thread with each message */
  messages: 1,
  /** 1 while the packet thread has told the main thread that the ring is not empty, and it has not looked yet */
  isMainCalled: 2,
  handOver: 4,
} as const;

const CONTROL_WORDS = 16;

/** Where things stand in the shared memory, in octets. */
export const SHARED = {
  handOver: CONTROL.handOver * 4,
  access: CONTROL_WORDS * 4,
  counters: (CONTROL_WORDS * 4 + ACCESS_WORDS * 4 + 7) & ~7,
} as const;

export const SHARED_BYTES = SHARED.counters + COUNTER_BYTES;

/** Packets that wait for the main thread at most; the rest is dropped and counted. */
export const RING_BYTES = 512 * 1024;

export function handOverWords(shared: SharedArrayBuffer): Int32Array {
  return new Int32Array(shared, SHARED.handOver, HAND_OVER_WORDS);
}

export function accessWords(shared: SharedArrayBuffer): Int32Array {
  return new Int32Array(shared, SHARED.access, ACCESS_WORDS);
}

/** What the packet thread says to the main thread. */
export type WorkerMessage =
  /** `thread`: its number on Linux */
  | { readonly type: "ready"; readonly thread: number | undefined }
  | { readonly type: "questions" }
  | { readonly type: "problem"; readonly text: string };
