// Passes Ethernet frames between two interfaces, both ways, each after a delay, and loses some on the way: what the
// kernel's netem does, for kernels that lack it. It never ends by itself.
// usage: frame-forwarder.ts INTERFACE INTERFACE DELAY_MS LOSS_PERCENT READY_FILE
import { dlopen, FFIType, ptr } from "bun:ffi";
import { writeFileSync } from "node:fs";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
const ETH_P_ALL_BIG_ENDIAN = 0x0300;
/** When more frames than this wait in one direction, further ones are dropped, as in a full router. */
const QUEUE_LIMIT = 20_000;

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  setsockopt: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  send: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
  ppoll: { args: [FFIType.ptr, FFIType.u64, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  if_nametoindex: { args: [FFIType.ptr], returns: FFIType.u32 },
});

/** A socket that reads every frame that arrives on an interface and sends frames out of it. */
function openInterface(name: string): number {
  const index = libc.if_nametoindex(ptr(Buffer.from(`${name}\0`)));
  const socket = libc.socket(AF_PACKET, SOCK_RAW, ETH_P_ALL_BIG_ENDIAN);
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16LE(ETH_P_ALL_BIG_ENDIAN, 2);
  address.writeInt32LE(index, 4);
  const yes = Buffer.from(new Uint32Array([1]).buffer);
  const ok =
    index > 0 &&
    socket >= 0 &&
    libc.setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, ptr(yes), 4) === 0 &&
    libc.bind(socket, ptr(address), address.length) === 0;
  if (!ok) throw new Error(`cannot open ${name}`);
  return socket;
}

interface Waiting {
  readonly dueMs: number;
  readonly frame: Buffer;
}

/** One way: frames in the order of their arrival, which with one delay for all is the order of leaving. */
class Direction {
  readonly from: number;
  readonly #to: number;
  #waiting: Waiting[] = [];
  #first = 0;

  constructor(from: number, to: number) {
    this.from = from;
    this.#to = to;
  }

  take(buffer: Buffer, delayMs: number, lossFraction: number): void {
    for (;;) {
      const length = Number(libc.recv(this.from, ptr(buffer), buffer.length, MSG_DONTWAIT));
      if (length <= 0) return;
      if (Math.random() < lossFraction || this.#waiting.length - this.#first >= QUEUE_LIMIT) continue;
      this.#waiting.push({ dueMs: performance.now() + delayMs, frame: Buffer.from(buffer.subarray(0, length)) });
    }
  }

  /** Sends what is due; resolves to when the next is, or Infinity. */
  sendDue(): number {
    const now = performance.now();
    for (; this.#first < this.#waiting.length; this.#first += 1) {
      const { dueMs, frame } = this.#waiting[this.#first] as Waiting;
      if (dueMs > now) break;
      libc.send(this.#to, ptr(frame), frame.length, 0);
    }
    if (this.#first > 1000) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return this.#waiting[this.#first]?.dueMs ?? Number.POSITIVE_INFINITY;
  }
}

const [left, right, delayText, lossText, readyFile] = process.argv.slice(2) as [string, string, string, string, string];
const delayMs = Number(delayText);
const lossFraction = Number(lossText) / 100;
const [leftSocket, rightSocket] = [openInterface(left), openInterface(right)];
const directions = [new Direction(leftSocket, rightSocket), new Direction(rightSocket, leftSocket)];
const buffer = Buffer.alloc(65_536 + 64);
const polled = Buffer.alloc(16);
directions.forEach(({ from }, index) => {
  polled.writeInt32LE(from, index * 8);
  polled.writeInt16LE(POLLIN, index * 8 + 4);
});
const timeout = Buffer.alloc(16);
writeFileSync(readyFile, `${process.pid}\n`);
for (;;) {
  const next = Math.min(...directions.map((direction) => direction.sendDue()));
  const waitMs = Math.min(Math.max(next - performance.now(), 0), 60_000);
  timeout.writeBigInt64LE(BigInt(Math.floor(waitMs / 1000)), 0);
  timeout.writeBigInt64LE(BigInt(Math.floor((waitMs % 1000) * 1e6)), 8);
  libc.ppoll(ptr(polled), 2, ptr(timeout), null);
  for (const direction of directions) direction.take(buffer, delayMs, lossFraction);
}
