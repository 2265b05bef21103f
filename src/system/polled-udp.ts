import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../model/address.ts";
import type { UdpHandlers, UdpSocket } from "./udp-port.ts";

/** Datagrams of one call, and room for each; what is longer is cut and so malformed. */
const BATCH = 64;
const PACKET_BYTES = 8_192;

/** struct sockaddr_in, struct iovec and struct mmsghdr of Linux on x64 and arm64. */
const NAME_BYTES = 16;
const IOVEC_BYTES = 16;
const HEADER_BYTES = 64;
const HEADER = { name: 0, nameLength: 8, iovec: 16, iovecs: 24, length: 56 } as const;

const AF_INET = 2;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MSG_DONTWAIT = 0x40;

function openLibc() {
  const { i32, u32 } = FFIType;
  return dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 },
    bind: { args: [i32, FFIType.ptr, u32], returns: i32 },
    close: { args: [i32], returns: i32 },
    recvmmsg: { args: [i32, FFIType.ptr, u32, i32, FFIType.ptr], returns: i32 },
    sendmmsg: { args: [i32, FFIType.ptr, u32, i32], returns: i32 },
    __errno_location: { args: [], returns: FFIType.ptr },
  }).symbols;
}

type Libc = ReturnType<typeof openLibc>;

/**
 * Binds a socket that is looked at every `pollMs` instead of whenever a datagram comes. Being woken costs many times what a
 * datagram costs, so with some hundred of them a second this takes a fraction of the processor time, for a delay of
 * `pollMs` at most. What is sent in one turn of the event loop leaves in one call. Linux only; throws when the address
 * is not there or the port is taken.
 */
export function bindPolled(address: string, port: number, pollMs: number, handlers: UdpHandlers): UdpSocket {
  const libc = openLibc();
  const descriptor = libc.socket(AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
  if (descriptor < 0) throw new Error(`socket failed (errno ${errnoOf(libc)})`);
  const name = new DataView(new ArrayBuffer(NAME_BYTES));
  writeName(name, 0, numberOf(address), port);
  if (libc.bind(descriptor, ptr(name), NAME_BYTES) < 0) {
    const errno = errnoOf(libc);
    libc.close(descriptor);
    throw new Error(`bind to ${address}:${port} failed (errno ${errno})`);
  }
  return new PolledSocket(libc, descriptor, pollMs, handlers);
}

class PolledSocket implements UdpSocket {
  readonly #libc: Libc;
  readonly #descriptor: number;
  readonly #handlers: UdpHandlers;
  readonly #received = new Batch();
  readonly #toSend = new Batch();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #addresses = new Map<number, string>();
  readonly #numbers = new Map<string, number>();
  #waiting = 0;
  #isClosed = false;

  constructor(libc: Libc, descriptor: number, pollMs: number, handlers: UdpHandlers) {
    this.#libc = libc;
    this.#descriptor = descriptor;
    this.#handlers = handlers;
    this.#timer = setInterval(() => this.#poll(), pollMs);
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
    clearInterval(this.#timer);
    this.#libc.close(this.#descriptor);
  }

  #poll(): void {
    let count = BATCH;
    while (count === BATCH && !this.#isClosed) {
      this.#received.prepare();
      count = this.#libc.recvmmsg(this.#descriptor, this.#received.pointer, BATCH, MSG_DONTWAIT, null);
      for (let i = 0; i < count && !this.#isClosed; i++) {
        const { data, port, address } = this.#received.read(i);
        this.#handlers.onData(data, port, this.#addressOf(address));
      }
    }
    this.#flush();
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

/** Memory for one recvmmsg or sendmmsg; nothing is allocated after construction. */
class Batch {
  static readonly #iovecsAt = BATCH * HEADER_BYTES;
  static readonly #namesAt = Batch.#iovecsAt + BATCH * IOVEC_BYTES;
  static readonly #packetsAt = Batch.#namesAt + BATCH * NAME_BYTES;
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

  /** The kernel writes the length of each name; the next call needs its room. */
  prepare(): void {
    for (let i = 0; i < BATCH; i++) this.#view.setUint32(i * HEADER_BYTES + HEADER.nameLength, NAME_BYTES, true);
  }

  write(i: number, data: Buffer, address: number, port: number): void {
    const at = Batch.#packetsAt + i * PACKET_BYTES;
    this.#memory.set(data, at);
    this.#writeWord(Batch.#iovecsAt + i * IOVEC_BYTES + 8, data.length);
    writeName(this.#view, Batch.#namesAt + i * NAME_BYTES, address, port);
  }

  read(i: number): { readonly data: Buffer; readonly port: number; readonly address: number } {
    const length = this.#view.getUint32(i * HEADER_BYTES + HEADER.length, true);
    const at = Batch.#packetsAt + i * PACKET_BYTES;
    const name = Batch.#namesAt + i * NAME_BYTES;
    return {
      data: this.#memory.subarray(at, at + Math.min(length, PACKET_BYTES)),
      port: this.#view.getUint16(name + 2),
      address: this.#view.getUint32(name + 4),
    };
  }

  /** A 64-bit number below 2^53, as the addresses of programs are. */
  #writeWord(at: number, value: number): void {
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }
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
