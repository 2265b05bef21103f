/**
 * Questions that the packet thread cannot answer, on their way to the main thread: a ring of octets in shared memory
 * with one writer and one reader. Nothing blocks; when it is full the writer is told so and drops the question.
 *
 *     entry: u32 octets of the packet · u32 address · u32 port · packet, padded to whole words
 */
const HEAD_BYTES = 12;

/** Says that the entry after this one stands at the ring's beginning. */
const WRAP = 0xffffffff;

/** Places of the control words. */
const WRITTEN = 0;
const READ = 1;
/** control words that a ring needs */
export const HAND_OVER_WORDS = 2;

/** One end of the ring; writer and reader have an object each. */
export class HandOver {
  readonly #control: Int32Array;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #size: number;

  /**
   * @param control {@link HAND_OVER_WORDS} words of shared memory, zero at first
   * @param ring shared memory for the packets, a multiple of four octets
   */
  constructor(control: Int32Array, ring: SharedArrayBuffer) {
    this.#control = control;
    this.#view = new DataView(ring);
    this.#bytes = new Uint8Array(ring);
    this.#size = ring.byteLength;
  }

  /** Writer: takes a copy of a packet. False when there is no room. */
  write(packet: DataView, start: number, length: number, address: number, port: number): boolean {
    const need = HEAD_BYTES + ((length + 3) & ~3);
    const written = Atomics.load(this.#control, WRITTEN);
    const read = Atomics.load(this.#control, READ);
    let at = written;
    // An entry is never cut in two; one word stays free, so that full and empty differ.
    if (written >= read) {
      const isAtEnd = written + need + 4 > this.#size;
      if (isAtEnd && need >= read) return false;
      if (isAtEnd) {
        this.#view.setUint32(written, WRAP, true);
        at = 0;
      }
    } else if (written + need >= read) {
      return false;
    }
    this.#view.setUint32(at, length, true);
    this.#view.setUint32(at + 4, address, true);
    this.#view.setUint32(at + 8, port, true);
    for (let i = 0; i < length; i++) this.#view.setUint8(at + HEAD_BYTES + i, packet.getUint8(start + i));
    Atomics.store(this.#control, WRITTEN, at + need);
    return true;
  }

  /** Reader: hands each waiting packet, a copy, to `take`; at most `most` of them. Gives whether more wait. */
  read(most: number, take: (packet: Uint8Array, address: number, port: number) => void): boolean {
    for (let i = 0; i < most; i++) {
      let at = Atomics.load(this.#control, READ);
      if (at === Atomics.load(this.#control, WRITTEN)) return false;
      if (this.#view.getUint32(at, true) === WRAP) at = 0;
      const length = this.#view.getUint32(at, true);
      const address = this.#view.getUint32(at + 4, true);
      const port = this.#view.getUint32(at + 8, true);
      const packet = this.#bytes.slice(at + HEAD_BYTES, at + HEAD_BYTES + length);
      Atomics.store(this.#control, READ, at + HEAD_BYTES + ((length + 3) & ~3));
      take(packet, address, port);
    }
    return Atomics.load(this.#control, READ) !== Atomics.load(this.#control, WRITTEN);
  }
}
