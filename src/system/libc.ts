import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { ipv4FromNumber, type Ipv4 } from "../model/address.ts";

/**
 * The few calls of the C library that Bun has no words for, most of them for datagram sockets that are read and written
 * many packets at a time. Linux only; numbers and layouts are those of x64 and arm64 alike, and datagram-check.ts makes
 * sure before anything relies on them.
 */
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_RCVTIMEO = 20;
const SO_ACCEPTCONN = 30;
const SO_TIMESTAMPNS = 35;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const CLOCK_REALTIME = 0;
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
/** Do not wait (recv(2)). */
export const MSG_DONTWAIT = 0x40;

/** Wait for the first packet only, then take what is there (recvmmsg(2)). */
export const MSG_WAITFORONE = 0x10000;

/** The packet was longer than its buffer (recvmsg(2)). */
export const MSG_TRUNC = 0x20;

export const EINTR = 4;
export const EAGAIN = 11;

/** sizeof(struct sockaddr_in) */
export const SOCKADDR_BYTES = 16;
/** sizeof(struct iovec) */
export const IOVEC_BYTES = 16;
/** sizeof(struct mmsghdr): msghdr (name, its length, iovec, their number, control, its length, flags), then msg_len */
export const MMSGHDR_BYTES = 64;
/** Places in a struct mmsghdr. */
export const MMSGHDR = {
  name: 0,
  nameLength: 8,
  iovec: 16,
  iovecs: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
  length: 56,
} as const;
/** A time stamp as control message: struct cmsghdr (its length, level, type), then a struct timespec. */
export const STAMP_BYTES = 32;

function open() {
  return dlopen("libc.so.6", {
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
    fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    getsockname: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
    getsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
      returns: FFIType.i32,
    },
    setsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i32,
    },
    sendto: {
      args: [FFIType.i32, FFIType.ptr, FFIType.u64_fast, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i64_fast,
    },
    recvmmsg: { args: [FFIType.i32, FFIType.ptr, FFIType.u32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    sendmmsg: { args: [FFIType.i32, FFIType.ptr, FFIType.u32, FFIType.i32], returns: FFIType.i32 },
    clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    madvise: { args: [FFIType.ptr, FFIType.u64_fast, FFIType.i32], returns: FFIType.i32 },
    __errno_location: { args: [], returns: FFIType.ptr },
  }).symbols;
}

/** The calls themselves, looked up once per thread. Throws where there is no such library. */
export type Libc = ReturnType<typeof open>;

let opened: Libc | undefined;

export function libc(): Libc {
  opened ??= open();
  return opened;
}

/** errno of this thread's last failed call. */
export function errno(): number {
  const place = libc().__errno_location();
  return place === null ? 0 : read.i32(place, 0);
}

function check(result: number, call: string): number {
  if (result < 0) throw new Error(`${call} failed (errno ${errno()})`);
  return result;
}

/** Writes a struct sockaddr_in at `at`. */
export function writeSockaddr(view: DataView, at: number, address: number, port: number): void {
  view.setUint16(at, AF_INET, true);
  view.setUint16(at + 2, port);
  view.setUint32(at + 4, address);
  view.setUint32(at + 8, 0);
  view.setUint32(at + 12, 0);
}

/**
 * Makes a datagram socket, bound and blocking, whose options `prepare` sets before it is bound. Throws with errno in the
 * message.
 */
export function bindDatagram(address: number, port: number, prepare?: (descriptor: number) => void): number {
  const descriptor = check(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  const name = new DataView(new ArrayBuffer(SOCKADDR_BYTES));
  writeSockaddr(name, 0, address, port);
  try {
    prepare?.(descriptor);
    check(libc().bind(descriptor, ptr(name), SOCKADDR_BYTES), `bind to ${ipv4FromNumber(address)}:${port}`);
    return descriptor;
  } catch (error) {
    libc().close(descriptor);
    throw error;
  }
}

function setOption(descriptor: number, option: number, value: Int32Array | DataView): void {
  const result = libc().setsockopt(descriptor, SOL_SOCKET, option, ptr(value), value.byteLength);
  check(result, `setsockopt ${option}`);
}

/** Lets several sockets have one address (SO_REUSEPORT, socket(7)). To be set before the socket is bound. */
export function shareAddress(descriptor: number): void {
  setOption(descriptor, SO_REUSEPORT, Int32Array.of(1));
}

/** Has the kernel say when it took each datagram. */
export function askForStamps(descriptor: number): void {
  setOption(descriptor, SO_TIMESTAMPNS, Int32Array.of(1));
}

/** Unix time of a stamp's control message; undefined when it is something else. */
export function readStampMs(view: DataView, at: number): number | undefined {
  const isStamp = view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SO_TIMESTAMPNS;
  return isStamp ? readTimespecMs(view, at + 16) : undefined;
}

/** The seconds' lower half lasts until 2106, and is cheaper to read than a bigint. */
function readTimespecMs(view: DataView, at: number): number {
  return view.getUint32(at, true) * 1000 + view.getUint32(at + 8, true) / 1e6;
}

const now = new DataView(new ArrayBuffer(16));

/** Unix time, with fractions as stamps have them. */
export function realTimeMs(): number {
  libc().clock_gettime(CLOCK_REALTIME, ptr(now));
  return readTimespecMs(now, 0);
}

/**
 * Of sockets that share an address, datagrams whose octet at `at` is `from` or more go to the one that was bound second,
 * all others to the first (SO_ATTACH_REUSEPORT_CBPF, socket(7)). The rule is classic BPF (linux/filter.h): load the
 * octet, compare, return the number of the socket.
 */
export function shareByOctet(descriptor: number, at: number, from: number): void {
  const [loadOctet, jumpIfAtLeast, give] = [0x30, 0x35, 0x06];
  // code, instructions to jump over if true, if false (one octet each), value
  const program = [
    [loadOctet, 0, 0, at],
    [jumpIfAtLeast, 0, 1, from],
    [give, 0, 0, 1],
    [give, 0, 0, 0],
  ] as const;
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
  setOption(descriptor, SO_ATTACH_REUSEPORT_CBPF, filter);
}

/** Has reads wait, at most `timeoutMs` each. */
export function waitAtMost(descriptor: number, timeoutMs: number): void {
  const flags = check(libc().fcntl(descriptor, F_GETFL, 0), "fcntl");
  check(libc().fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK), "fcntl");
  const time = new DataView(new ArrayBuffer(16));
  time.setBigInt64(0, BigInt(Math.floor(timeoutMs / 1000)), true);
  time.setBigInt64(8, BigInt((timeoutMs % 1000) * 1000), true);
  setOption(descriptor, SO_RCVTIMEO, time);
}

/** Asks for large buffers; the system's own limits hold (net.core.rmem_max), also where the socket had more before. */
export function askForBuffers(descriptor: number, bytes: number): void {
  const size = Int32Array.of(bytes);
  libc().setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, ptr(size), 4);
  libc().setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, ptr(size), 4);
}

/** Closes a descriptor that {@link bindDatagram} made. */
export function closeDescriptor(descriptor: number): void {
  libc().close(descriptor);
}

/** What an inherited descriptor is: a bound IPv4 datagram socket, a listening stream socket, or something else. */
export function kindOfDescriptor(descriptor: number): "datagram" | "stream" | "other" {
  const type = readOption(descriptor, SO_TYPE);
  if (type === SOCK_DGRAM) return "datagram";
  return type === 1 && readOption(descriptor, SO_ACCEPTCONN) === 1 ? "stream" : "other";
}

function readOption(descriptor: number, option: number): number {
  const value = Int32Array.of(-1);
  const length = Int32Array.of(4);
  return libc().getsockopt(descriptor, SOL_SOCKET, option, ptr(value), ptr(length)) < 0 ? -1 : (value[0] ?? -1);
}

/** The address that a socket is bound to. Throws when it is not IPv4. */
export function boundAddress(descriptor: number): { readonly host: Ipv4; readonly port: number } {
  const name = new DataView(new ArrayBuffer(128));
  const length = Int32Array.of(128);
  check(libc().getsockname(descriptor, ptr(name), ptr(length)), "getsockname");
  if (name.getUint16(0, true) !== AF_INET) throw new Error(`descriptor ${descriptor} is not an IPv4 socket`);
  return { host: ipv4FromNumber(name.getUint32(4)), port: name.getUint16(2) };
}

/** Sends one datagram without waiting; false when it could not be sent. */
export class DatagramSender {
  readonly #descriptor: number;
  readonly #name = new DataView(new ArrayBuffer(SOCKADDR_BYTES));

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  send(packet: Uint8Array, address: number, port: number): boolean {
    writeSockaddr(this.#name, 0, address, port);
    const name = ptr(this.#name);
    return Number(libc().sendto(this.#descriptor, ptr(packet), packet.length, MSG_DONTWAIT, name, SOCKADDR_BYTES)) >= 0;
  }
}
