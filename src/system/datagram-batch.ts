import { ptr, type Pointer } from "bun:ffi";
import {
  IOVEC_BYTES,
  libc,
  MMSGHDR,
  MMSGHDR_BYTES,
  MSG_TRUNC,
  readStampMs,
  SOCKADDR_BYTES,
  STAMP_BYTES,
  writeSockaddr,
  type Libc,
} from "./libc.ts";

/** Packets that one call takes at most. */
export const BATCH_PACKETS = 64;

/** Room for each packet of a batch, unless more is asked for: for a question, and for its answer in the same place. */
const PACKET_BYTES = 2048;

export interface BatchOptions {
  /** room for each packet; a longer one is cut */
  readonly packetBytes?: number;
  /** the socket has time stamps on (`askForStamps`): room for them */
  readonly hasStamps?: boolean;
}

/**
 * Memory for recvmmsg and sendmmsg: a batch of packets is received into it, changed in place, and sent back to where
 * each came from; or packets are written into it and sent. Nothing is allocated after construction.
 */
export class DatagramBatch {
  /** the packets; number `i` begins at {@link startOf} */
  readonly view: DataView;
  readonly #libc: Libc;
  readonly #descriptor: number;
  readonly #receivePointer: Pointer;
  readonly #sendPointer: Pointer;
  /** which packet each entry of the send list points to */
  readonly #sent = new Int32Array(BATCH_PACKETS).fill(-1);
  readonly #packetBytes: number;
  /** From one packet to the next: an odd number of cache lines. With a power of two all would fall into few sets. */
  readonly #stride: number;
  readonly #hasStamps: boolean;
  #toSend = 0;

  static readonly #receiveAt = 0;
  static readonly #sendAt = BATCH_PACKETS * MMSGHDR_BYTES;
  static readonly #receiveIovecAt = 2 * BATCH_PACKETS * MMSGHDR_BYTES;
  static readonly #sendIovecAt = DatagramBatch.#receiveIovecAt + BATCH_PACKETS * IOVEC_BYTES;
  static readonly #nameAt = DatagramBatch.#sendIovecAt + BATCH_PACKETS * IOVEC_BYTES;
  static readonly #stampAt = DatagramBatch.#nameAt + BATCH_PACKETS * SOCKADDR_BYTES;
  static readonly #packetAt = DatagramBatch.#stampAt + BATCH_PACKETS * STAMP_BYTES;
  /** kept alive as long as the kernel writes into it */
  readonly #memory: Uint8Array;
  /** where the memory begins; below 2^53 as all addresses of programs are */
  readonly #base: number;

  constructor(descriptor: number, { packetBytes = PACKET_BYTES, hasStamps = false }: BatchOptions = {}) {
    this.#libc = libc();
    this.#descriptor = descriptor;
    this.#packetBytes = packetBytes;
    this.#stride = packetBytes + 64;
    this.#hasStamps = hasStamps;
    this.#memory = new Uint8Array(DatagramBatch.#packetAt + BATCH_PACKETS * this.#stride);
    this.view = new DataView(this.#memory.buffer);
    this.#base = ptr(this.#memory);
    this.#receivePointer = ptr(this.#memory, DatagramBatch.#receiveAt);
    this.#sendPointer = ptr(this.#memory, DatagramBatch.#sendAt);
    for (let i = 0; i < BATCH_PACKETS; i++) {
      this.#writeHeader(DatagramBatch.#receiveAt, DatagramBatch.#receiveIovecAt, i);
      this.#writeHeader(DatagramBatch.#sendAt, DatagramBatch.#sendIovecAt, i);
      this.#point(DatagramBatch.#receiveAt, DatagramBatch.#receiveIovecAt, i, i);
      this.#writePointer(DatagramBatch.#receiveIovecAt + i * IOVEC_BYTES + 8, packetBytes);
    }
  }

  #writeHeader(headersAt: number, iovecsAt: number, i: number): void {
    const at = headersAt + i * MMSGHDR_BYTES;
    this.view.setUint32(at + MMSGHDR.nameLength, SOCKADDR_BYTES, true);
    this.#writePointer(at + MMSGHDR.iovec, this.#base + iovecsAt + i * IOVEC_BYTES);
    this.#writePointer(at + MMSGHDR.iovecs, 1);
  }

  /** Has entry `i` of a list stand for packet `packet` and its address. */
  #point(headersAt: number, iovecsAt: number, i: number, packet: number): void {
    const name = this.#base + DatagramBatch.#nameAt + packet * SOCKADDR_BYTES;
    this.#writePointer(headersAt + i * MMSGHDR_BYTES + MMSGHDR.name, name);
    this.#writePointer(iovecsAt + i * IOVEC_BYTES, this.#base + this.startOf(packet));
  }

  /** A 64-bit word. */
  #writePointer(at: number, value: number): void {
    this.view.setUint32(at, value, true);
    this.view.setUint32(at + 4, value / 2 ** 32, true);
  }

  /** Takes the packets that are there, with `MSG_WAITFORONE` waits for one; gives their number, or -1 (see errno). */
  receive(flags: number): number {
    if (this.#hasStamps) this.#makeRoomForStamps();
    // The kernel writes the length of each name, which for this kind of socket is always the room that it had.
    return this.#libc.recvmmsg(this.#descriptor, this.#receivePointer, BATCH_PACKETS, flags, null);
  }

  /** The kernel writes how much of the room it has used, so each call needs it anew. */
  #makeRoomForStamps(): void {
    for (let i = 0; i < BATCH_PACKETS; i++) {
      const at = i * MMSGHDR_BYTES;
      this.#writePointer(at + MMSGHDR.control, this.#base + DatagramBatch.#stampAt + i * STAMP_BYTES);
      this.#writePointer(at + MMSGHDR.controlLength, STAMP_BYTES);
    }
  }

  startOf(packet: number): number {
    return DatagramBatch.#packetAt + packet * this.#stride;
  }

  lengthOf(packet: number): number {
    return this.view.getUint32(DatagramBatch.#receiveAt + packet * MMSGHDR_BYTES + MMSGHDR.length, true);
  }

  /** The packet itself; overwritten by the next {@link receive}. */
  bytesOf(packet: number): Buffer {
    return Buffer.from(this.#memory.buffer, this.startOf(packet), this.lengthOf(packet));
  }

  /** Whether the packet was longer than there is room for. */
  isCut(packet: number): boolean {
    if (this.lengthOf(packet) < this.#packetBytes) return false;
    const flags = this.view.getUint32(DatagramBatch.#receiveAt + packet * MMSGHDR_BYTES + MMSGHDR.flags, true);
    return (flags & MSG_TRUNC) !== 0;
  }

  /** When the kernel took it, Unix time; undefined when it does not say. */
  stampMsOf(packet: number): number | undefined {
    const used = this.view.getUint32(packet * MMSGHDR_BYTES + MMSGHDR.controlLength, true);
    return used < STAMP_BYTES ? undefined : readStampMs(this.view, DatagramBatch.#stampAt + packet * STAMP_BYTES);
  }

  /** Where it came from, as a signed word for masks. */
  sourceOf(packet: number): number {
    return this.view.getInt32(DatagramBatch.#nameAt + packet * SOCKADDR_BYTES + 4);
  }

  /** Where it came from. */
  addressOf(packet: number): number {
    return this.view.getUint32(DatagramBatch.#nameAt + packet * SOCKADDR_BYTES + 4);
  }

  portOf(packet: number): number {
    return this.view.getUint16(DatagramBatch.#nameAt + packet * SOCKADDR_BYTES + 2);
  }

  /** Packets that the next {@link send} sends. */
  get waiting(): number {
    return this.#toSend;
  }

  /** Adds a packet to those that the next {@link send} sends; there must be room for it, and fewer than a batch wait. */
  add(data: Uint8Array, address: number, port: number): void {
    const packet = this.#toSend;
    this.#memory.set(data, this.startOf(packet));
    writeSockaddr(this.view, DatagramBatch.#nameAt + packet * SOCKADDR_BYTES, address, port);
    this.reply(packet, data.length);
  }

  /** Has the packet's place, now `length` octets, sent back with the next {@link send}. */
  reply(packet: number, length: number): void {
    const i = this.#toSend++;
    if (this.#sent[i] !== packet) {
      this.#sent[i] = packet;
      this.#point(DatagramBatch.#sendAt, DatagramBatch.#sendIovecAt, i, packet);
    }
    this.view.setUint32(DatagramBatch.#sendIovecAt + i * IOVEC_BYTES + 8, length, true);
  }

  /** Sends what waits; gives how many could not be sent. */
  send(flags = 0): number {
    const count = this.#toSend;
    this.#toSend = 0;
    let sent = 0;
    let failed = 0;
    while (sent + failed < count) {
      // A packet that cannot be sent (its address has no route) ends the call before it; the next begins after it.
      const from = sent + failed;
      const pointer = (this.#sendPointer + from * MMSGHDR_BYTES) as Pointer;
      const done = this.#libc.sendmmsg(this.#descriptor, pointer, count - from, flags);
      if (done > 0) sent += done;
      else failed++;
    }
    return failed;
  }
}
