import { lowerWord, mixHash } from "../wire/question.ts";
import {
  RECORD,
  recordBytes,
  TABLE_HEADER_WORDS,
  TABLE_RECORD_HEAD_BYTES,
  TABLE_WORD,
  TableReader,
  type RecordKind,
} from "./table.ts";

/** The largest count that 16 bits hold; further addresses are left out. */
const MAX_ADDRESSES = 65_535;

const CACHE_LINE_BYTES = 64;

/** Where a record goes. One that fits into a cache line lies within one, so a lookup waits for memory only once. */
function placeFor(next: number, size: number): number {
  const room = CACHE_LINE_BYTES - (next % CACHE_LINE_BYTES);
  return size > room && size <= CACHE_LINE_BYTES ? next + room : next;
}

/** Writes a table; there is one writer, and readers on other threads see each change whole or not at all. */
export class TableWriter extends TableReader {
  readonly buffer: SharedArrayBuffer;
  readonly #seed: number;
  readonly #arenaEnd: number;
  readonly #reverseWord: number;
  readonly #maxSlots: number;
  /** where the next record goes */
  #next: number;
  #slots = 0;
  /** where the record that was put last is */
  lastRecord = 0;
  readonly #name = new Int32Array(64);

  constructor(buffer: SharedArrayBuffer, seed: number) {
    super(buffer);
    this.buffer = buffer;
    this.#seed = seed;
    this.#next = this.headerWord(TABLE_WORD.arenaStart);
    this.#arenaEnd = this.headerWord(TABLE_WORD.arenaEnd);
    this.#reverseWord = this.headerWord(TABLE_WORD.reverseStart) / 4;
    // Probing stays short while a quarter of the slots is empty.
    this.#maxSlots = ((this.slotMask + 1) / 4) * 3;
  }

  /** Octets of the arena that are taken, by live and by outdated records. */
  get usedBytes(): number {
    return this.#next - this.headerWord(TABLE_WORD.arenaStart);
  }

  /** Whether a larger table should be written soon. */
  get isNearlyFull(): boolean {
    const capacity = this.#arenaEnd - this.headerWord(TABLE_WORD.arenaStart);
    return this.usedBytes > capacity * 0.8 || this.#slots > this.#maxSlots * 0.9;
  }

  /** Sets the zone's serial number. */
  setSerial(serial: number): void {
    Atomics.store(this.words, TABLE_WORD.serial, serial | 0);
  }

  /**
   * Puts a name, or replaces what it has. `addresses` begin with the `own` ones. Gives false, and changes nothing, when
   * there is no room: then the table must be written anew, larger.
   */
  put(name: Uint8Array, kind: RecordKind, addresses: readonly number[], own: number): boolean {
    const slot = this.#slotOf(name);
    const at = TABLE_HEADER_WORDS + slot * 2;
    const isNew = Atomics.load(this.words, at + 1) === 0;
    const count = Math.min(addresses.length, MAX_ADDRESSES);
    const size = recordBytes(name.length, count);
    const record = placeFor(this.#next, size);
    if (record + size > this.#arenaEnd || (isNew && this.#slots >= this.#maxSlots)) return false;
    this.#append(record, name.length, kind, addresses, count, Math.min(own, count));
    this.lastRecord = record;
    this.#next = record + size;
    if (isNew) {
      this.#slots++;
      this.words[at] = this.#hash;
    }
    Atomics.store(this.words, at + 1, record);
    return true;
  }

  /** Takes a name away; false as with {@link put}. */
  remove(name: Uint8Array): boolean {
    const slot = this.#slotOf(name);
    if (Atomics.load(this.words, TABLE_HEADER_WORDS + slot * 2 + 1) === 0) return true;
    return this.put(name, RECORD.GONE, [], 0);
  }

  #recordOf(name: Uint8Array): number {
    return Atomics.load(this.words, TABLE_HEADER_WORDS + this.#slotOf(name) * 2 + 1);
  }

  /** PTR of an address gives the name of this record; 0: none. */
  setReverseRecord(distance: number, record: number): void {
    Atomics.store(this.words, this.#reverseWord + distance, record);
  }

  /** PTR of an address gives this name, which must have been put; undefined: none. */
  setReverse(distance: number, name: Uint8Array | undefined): void {
    this.setReverseRecord(distance, name === undefined ? 0 : this.#recordOf(name));
  }

  #hash = 0;

  /** Leaves the padded, lower-cased name in `#name` and its hash in `#hash`. */
  #slotOf(name: Uint8Array): number {
    let hash = this.#seed;
    for (let at = 0; at < name.length; at += 4) {
      const word = lowerWord(
        (name[at] ?? 0) | ((name[at + 1] ?? 0) << 8) | ((name[at + 2] ?? 0) << 16) | ((name[at + 3] ?? 0) << 24),
      );
      this.#name[at >> 2] = word;
      hash = mixHash(hash, word);
    }
    this.#hash = hash;
    return this.findSlot(hash, this.#name, name.length);
  }

  #append(
    record: number,
    nameBytes: number,
    kind: number,
    addresses: readonly number[],
    count: number,
    own: number,
  ): void {
    const { view } = this;
    view.setUint16(record, nameBytes, true);
    view.setUint8(record + 2, kind);
    view.setUint16(record + 4, count, true);
    view.setUint16(record + 6, own, true);
    let at = record + TABLE_RECORD_HEAD_BYTES;
    for (let i = 0; i < nameBytes; i += 4, at += 4) view.setInt32(at, this.#name[i >> 2] as number, true);
    for (let i = 0; i < count; i++, at += 4) view.setUint32(at, addresses[i] ?? 0, true);
  }
}
