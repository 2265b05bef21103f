import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { createSocket, type Socket } from "node:dgram";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../model/address.ts";
import type { BatchRule, UdpHandlers, UdpSocket } from "./udp-port.ts";

/** Datagrams of one call, and room for each; what is longer is cut and so malformed. */
const BATCH = 64;
const PACKET_BYTES = 8_192;
const CONTROL_BYTES = 64;

/** struct sockaddr_in, struct iovec and struct mmsghdr of Linux on x64 and arm64. */
const NAME_BYTES = 16;
const IOVEC_BYTES = 16;
const HEADER_BYTES = 64;
const HEADER = { name: 0, nameLength: 8, iovec: 16, iovecs: 24, control: 32, controlLength: 40, length: 56 } as const;

const AF_INET = 2;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const SO_TIMESTAMPNS = 35;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const CLOCK_REALTIME = 0;

function openLibc() {
  const { i32, u32 } = FFIType;
  return dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 },
    setsockopt: { args: [i32, i32, i32, FFIType.ptr, u32], returns: i32 },
    bind: { args: [i32, FFIType.ptr, u32], returns: i32 },
    close: { args: [i32], returns: i32 },
    recvmmsg: { args: [i32, FFIType.ptr, u32, i32, FFIType.ptr], returns: i32 },
    sendmmsg: { args: [i32, FFIType.ptr, u32, i32], returns: i32 },
    clock_gettime: { args: [i32, FFIType.ptr], returns: i32 },
    __errno_location: { args: [], returns: FFIType.ptr },
  }).symbols;
}

type Libc = ReturnType<typeof openLibc>;

/**
 * Binds one address twice, and has the kernel share out what comes (SO_ATTACH_REUSEPORT_CBPF, socket(7)): what is urgent
 * wakes this process as usual, what can wait is looked at every `pollMs`. Being woken costs many times what a datagram
 * costs, so with some hundred a second that takes a fraction of the processor time; the kernel's time stamp says how long
 * each one waited. What is sent in one turn of the event loop leaves in one call. Linux only. Rejects when the address is
 * not there or the port is taken.
 */
export async function bindBatched(
  address: string,
  port: number,
  rule: BatchRule,
  handlers: UdpHandlers,
): Promise<UdpSocket> {
  const libc = openLibc();
  const descriptor = libc.socket(AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
  if (descriptor < 0) throw new Error(`socket failed (errno ${errnoOf(libc)})`);
  try {
    setOption(libc, descriptor, SO_REUSEPORT, Int32Array.of(1));
    setOption(libc, descriptor, SO_TIMESTAMPNS, Int32Array.of(1));
    const name = new DataView(new ArrayBuffer(NAME_BYTES));
    writeName(name, 0, numberOf(address), port);
    if (libc.bind(descriptor, ptr(name), NAME_BYTES) < 0) throw new Error(`bind failed (errno ${errnoOf(libc)})`);
    attachRule(libc, descriptor, rule);
    // The order of binding is the number by which the rule names a socket: this one is 0, the woken one 1.
    const urgent = await bindUrgent(address, port, handlers);
    return new BatchedSocket({ libc, descriptor, urgent, pollMs: rule.pollMs, handlers });
  } catch (error) {
    libc.close(descriptor);
    throw new Error(`${address}:${port}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function setOption(libc: Libc, descriptor: number, option: number, value: Int32Array | DataView): void {
  if (libc.setsockopt(descriptor, SOL_SOCKET, option, ptr(value), value.byteLength) < 0) {
    throw new Error(`setsockopt ${option} failed (errno ${errnoOf(libc)})`);
  }
}

/** Classic BPF (bpf(4) of the BSDs, linux/filter.h): load the octet, compare, return the number of the socket. */
function attachRule(libc: Libc, descriptor: number, { typeAt, urgentFrom }: BatchRule): void {
  const [loadOctet, jumpIfAtLeast, give] = [0x30, 0x35, 0x06];
  const program: readonly (readonly [code: number, ifTrue: number, ifFalse: number, value: number])[] = [
    [loadOctet, 0, 0, typeAt],
    [jumpIfAtLeast, 0, 1, urgentFrom],
    [give, 0, 0, 1],
    [give, 0, 0, 0],
  ];
  const instructions = new DataView(new ArrayBuffer(8 * program.length));
  for (const [i, [code, ifTrue, ifFalse, value]] of program.entries()) {
    instructions.setUint16(8 * i, code, true);
    instructions.setUint8(8 * i + 2, ifTrue);
    instructions.setUint8(8 * i + 3, ifFalse);
    instructions.setUint32(8 * i + 4, value, true);
  }
  const filter = new DataView(new ArrayBuffer(16));
  filter.setUint16(0, program.length, true);
  filter.setBigUint64(8, BigInt(ptr(instructions)), true);
  setOption(libc, descriptor, SO_ATTACH_REUSEPORT_CBPF, filter);
}

function bindUrgent(address: string, port: number, handlers: UdpHandlers): Promise<Socket> {
  const socket = createSocket({ type: "udp4", reusePort: true });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, address, () => {
      socket.off("error", reject);
      socket.on("error", (error) => handlers.onError(error));
      socket.on("message", (data, from) => handlers.onData(data, from.port, from.address, 0));
      resolve(socket);
    });
  });
}

interface SocketParts {
  readonly libc: Libc;
  readonly descriptor: number;
  readonly urgent: Socket;
  readonly pollMs: number;
  readonly handlers: UdpHandlers;
}

class BatchedSocket implements UdpSocket {
  readonly #libc: Libc;
  readonly #descriptor: number;
  readonly #urgent: Socket;
  readonly #handlers: UdpHandlers;
  readonly #now = new DataView(new ArrayBuffer(16));
  readonly #received = new Batch();
  readonly #toSend = new Batch();
  readonly #pollMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #addresses = new Map<number, string>();
  readonly #numbers = new Map<string, number>();
  #waiting = 0;
  #isClosed = false;

  constructor({ libc, descriptor, urgent, pollMs, handlers }: SocketParts) {
    this.#libc = libc;
    this.#descriptor = descriptor;
    this.#urgent = urgent;
    this.#handlers = handlers;
    this.#pollMs = pollMs;
    this.#received.prepare(BATCH);
    this.#schedule();
  }

  /** At whole multiples: others that look from time to time can be woken together with this. */
  #schedule(): void {
    this.#timer = setTimeout(
      () => {
        this.#poll();
        if (!this.#isClosed) this.#schedule();
      },
      this.#pollMs - (performance.now() % this.#pollMs),
    );
  }

  send(data: Buffer, port: number, address: string): void {
    if (this.#isClosed || data.length > PACKET_BYTES) return;
    if (this.#waiting === 0) queueMicrotask(() => this.#flush());
    this.#toSend.write(this.#waiting++, data, this.#numberOf(address), port);
    if (this.#waiting === BATCH) this.#flush();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#urgent.close();
    this.#libc.close(this.#descriptor);
  }

  #poll(): void {
    let count = BATCH;
    while (count === BATCH && !this.#isClosed) {
      count = this.#libc.recvmmsg(this.#descriptor, this.#received.pointer, BATCH, MSG_DONTWAIT, null);
      const nowMs = count > 0 ? this.#nowMs() : 0;
      for (let i = 0; i < count && !this.#isClosed; i++) {
        const { data, port, address, stampMs } = this.#received.read(i);
        const waitedMs = stampMs === undefined ? 0 : Math.max(0, nowMs - stampMs);
        this.#handlers.onData(data, port, this.#addressOf(address), waitedMs);
      }
      if (count > 0) this.#received.prepare(count);
    }
    this.#flush();
  }

  #nowMs(): number {
    this.#libc.clock_gettime(CLOCK_REALTIME, ptr(this.#now));
    return readTimespecMs(this.#now, 0);
  }

  #flush(): void {
    const count = this.#waiting;
    this.#waiting = 0;
    let done = 0;
    while (done < count && !this.#isClosed) {
      const sent = this.#libc.sendmmsg(this.#descriptor, this.#toSend.pointerTo(done), count - done, MSG_DONTWAIT);
      // One that cannot leave is lost, as datagrams may be, and must not keep the others back.
      done += Math.max(1, sent);
    }
  }

  #addressOf(value: number): string {
    const known = this.#addresses.get(value);
    if (known !== undefined) return known;
    if (this.#addresses.size > 4096) this.#addresses.clear();
    const address = ipv4FromNumber(value);
    this.#addresses.set(value, address);
    return address;
  }

  #numberOf(address: string): number {
    const known = this.#numbers.get(address);
    if (known !== undefined) return known;
    if (this.#numbers.size > 4096) this.#numbers.clear();
    const value = numberOf(address);
    this.#numbers.set(address, value);
    return value;
  }
}

interface ReceivedDatagram {
  readonly data: Buffer;
  readonly port: number;
  readonly address: number;
  /** when the kernel took it, Unix time; undefined when it did not say */
  readonly stampMs: number | undefined;
}

/** Memory for one recvmmsg or sendmmsg; nothing is allocated after construction. */
class Batch {
  static readonly #iovecsAt = BATCH * HEADER_BYTES;
  static readonly #namesAt = Batch.#iovecsAt + BATCH * IOVEC_BYTES;
  static readonly #controlsAt = Batch.#namesAt + BATCH * NAME_BYTES;
  static readonly #packetsAt = Batch.#controlsAt + BATCH * CONTROL_BYTES;
  /** kept alive as long as the kernel may write into it */
  readonly #memory = Buffer.alloc(Batch.#packetsAt + BATCH * PACKET_BYTES);
  readonly #view = new DataView(this.#memory.buffer, this.#memory.byteOffset, this.#memory.byteLength);
  readonly pointer = ptr(this.#memory);

  constructor() {
    for (let i = 0; i < BATCH; i++) {
      const header = i * HEADER_BYTES;
      const iovec = Batch.#iovecsAt + i * IOVEC_BYTES;
      this.#writeWord(header + HEADER.name, this.pointer + Batch.#namesAt + i * NAME_BYTES);
      this.#view.setUint32(header + HEADER.nameLength, NAME_BYTES, true);
      this.#writeWord(header + HEADER.iovec, this.pointer + iovec);
      this.#writeWord(header + HEADER.iovecs, 1);
      this.#writeWord(iovec, this.pointer + Batch.#packetsAt + i * PACKET_BYTES);
      this.#writeWord(iovec + 8, PACKET_BYTES);
    }
  }

  pointerTo(i: number): typeof this.pointer {
    return (this.pointer + i * HEADER_BYTES) as typeof this.pointer;
  }

  /** For receiving: the kernel writes the lengths of names and of what it says besides, and the next call needs their room. */
  prepare(count: number): void {
    for (let i = 0; i < count; i++) {
      const header = i * HEADER_BYTES;
      this.#view.setUint32(header + HEADER.nameLength, NAME_BYTES, true);
      this.#writeWord(header + HEADER.control, this.pointer + Batch.#controlsAt + i * CONTROL_BYTES);
      this.#writeWord(header + HEADER.controlLength, CONTROL_BYTES);
    }
  }

  write(i: number, data: Buffer, address: number, port: number): void {
    const at = Batch.#packetsAt + i * PACKET_BYTES;
    this.#memory.set(data, at);
    this.#writeWord(Batch.#iovecsAt + i * IOVEC_BYTES + 8, data.length);
    writeName(this.#view, Batch.#namesAt + i * NAME_BYTES, address, port);
  }

  read(i: number): ReceivedDatagram {
    const length = this.#view.getUint32(i * HEADER_BYTES + HEADER.length, true);
    const at = Batch.#packetsAt + i * PACKET_BYTES;
    const name = Batch.#namesAt + i * NAME_BYTES;
    return {
      data: this.#memory.subarray(at, at + Math.min(length, PACKET_BYTES)),
      port: this.#view.getUint16(name + 2),
      address: this.#view.getUint32(name + 4),
      stampMs: this.#stampOf(i),
    };
  }

  /** The only control message that was asked for: struct cmsghdr (its length, level, type), then a struct timespec. */
  #stampOf(i: number): number | undefined {
    if (this.#view.getUint32(i * HEADER_BYTES + HEADER.controlLength, true) < 32) return undefined;
    const at = Batch.#controlsAt + i * CONTROL_BYTES;
    const isStamp =
      this.#view.getInt32(at + 8, true) === SOL_SOCKET && this.#view.getInt32(at + 12, true) === SO_TIMESTAMPNS;
    return isStamp ? readTimespecMs(this.#view, at + 16) : undefined;
  }

  /** A 64-bit number below 2^53, as the addresses of programs are. */
  #writeWord(at: number, value: number): void {
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }
}

/** The seconds' lower half lasts until 2106, and is cheaper to read than a bigint. */
function readTimespecMs(view: DataView, at: number): number {
  return view.getUint32(at, true) * 1000 + view.getUint32(at + 8, true) / 1e6;
}

function writeName(view: DataView, at: number, address: number, port: number): void {
  view.setUint16(at, AF_INET, true);
  view.setUint16(at + 2, port);
  view.setUint32(at + 4, address);
}

function numberOf(address: string): number {
  const parsed = parseIpv4(address);
  if (parsed === undefined) throw new Error(`${address} is not an IPv4 address`);
  return ipv4ToNumber(parsed);
}

function errnoOf(libc: Libc): number {
  const place = libc.__errno_location();
  return place === null ? 0 : read.i32(place, 0);
}
