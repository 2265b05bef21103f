import { type Question } from "../wire/question.ts";

/**
 * The zone as the packet loop reads it: one flat block of memory that the main thread writes and any thread reads.
 *
 *     header   64 words
 *     slots    pairs of words: hash of a name, offset of its record (0: empty); open addressing, linear probing
 *     reverse  a word per address of the cluster: offset of the record whose name its PTR gives (0: none)
 *     arena    records, appended only
 *
 *     record   u16 octets of the name, u8 kind, u8 0 · u16 addresses, u16 of them this server's own, which come first
 *              the lower-cased name in wire form, padded with zeros to whole words · addresses, a word each
 *
 * A change is one appended record and one atomic store of its offset. A reader's record stays as it is for as long as the
 * reader keeps the table. A name that is gone keeps its slot and points to a record of kind GONE.
 *
 * Readers use plain loads: a word is never torn, the record is found by the offset that was loaded, and no processor that
 * this runs on reads what an address depends on before the address. The compiler's atomic load is a locked
 * read-modify-write, which alone took a quarter of this thread's own time.
 */
export const RECORD = { GONE: 0, NAME: 1, APEX: 2, EMPTY: 3, HOST: 4 } as const;

/**
 * GONE: not there; NAME: of containers, has addresses, or none just now; APEX: `jiji` itself; EMPTY: only names below it;
 * HOST: of a server, has one address.
 */
export type RecordKind = (typeof RECORD)[keyof typeof RECORD];

const HEADER_WORDS = 64;

/** Places of the header's words. */
const WORD = {
  slotMask: 0,
  arenaStart: 1,
  arenaEnd: 2,
  reverseStart: 3,
  reverseCount: 4,
  serial: 5,
  ttlSeconds: 6,
  negativeTtlSeconds: 7,
} as const;

const RECORD_HEAD_BYTES = 8;

/** What a table is made for. */
export interface TableShape {
  /** names that it must hold; a few more fit */
  readonly names: number;
  /** octets of records that it must hold */
  readonly arenaBytes: number;
  readonly ttlSeconds: number;
  readonly negativeTtlSeconds: number;
  /** PTR is answered for this many addresses of the cluster's network, counted from its first */
  readonly reverseAddresses: number;
}

/** Memory for an empty table. */
export function allocateTable(shape: TableShape): SharedArrayBuffer {
  // A table is at most three quarters full; in most it is less than half.
  let slots = 64;
  while (slots * 0.65 < shape.names) slots *= 2;
  const reverseStart = HEADER_WORDS * 4 + slots * 8;
  const arenaStart = reverseStart + shape.reverseAddresses * 4;
  const arenaEnd = arenaStart + ((shape.arenaBytes + 3) & ~3);
  const buffer = new SharedArrayBuffer(arenaEnd);
  const header = new Int32Array(buffer, 0, HEADER_WORDS);
  header[WORD.slotMask] = slots - 1;
  header[WORD.arenaStart] = arenaStart;
  header[WORD.arenaEnd] = arenaEnd;
  header[WORD.reverseStart] = reverseStart;
  header[WORD.reverseCount] = shape.reverseAddresses;
  header[WORD.ttlSeconds] = shape.ttlSeconds;
  header[WORD.negativeTtlSeconds] = shape.negativeTtlSeconds;
  return buffer;
}

/** Reads a table; never allocates after construction. */
export class TableReader {
  readonly ttlSeconds: number;
  readonly negativeTtlSeconds: number;
  protected readonly view: DataView;
  protected readonly words: Int32Array;
  protected readonly slotMask: number;
  readonly #reverseWord: number;
  readonly #reverseCount: number;
  /** what {@link warm} has read: a compiler must not drop the reading */
  protected warmed = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer);
    this.slotMask = this.headerWord(WORD.slotMask);
    this.ttlSeconds = this.headerWord(WORD.ttlSeconds);
    this.negativeTtlSeconds = this.headerWord(WORD.negativeTtlSeconds);
    this.#reverseWord = this.headerWord(WORD.reverseStart) / 4;
    this.#reverseCount = this.headerWord(WORD.reverseCount);
  }

  protected headerWord(place: number): number {
    return this.view.getInt32(place * 4, true);
  }

  /** The zone's serial number, which grows with every change. */
  get serial(): number {
    return (this.words[WORD.serial] as number) >>> 0;
  }

  /**
   * Reads where the names of the first `count` questions should stand: all their slots, then all their records. The
   * reads of each kind do not depend on each other, so the processor waits for memory twice for a batch of questions,
   * not twice for each of them (docs/performance.md has what that gains). Any hash will do.
   */
  warm(questions: readonly Question[], count: number): void {
    const { words, slotMask } = this;
    let read = 0;
    for (let i = 0; i < count; i++) {
      const { hash } = questions[i] as Question;
      read ^= words[HEADER_WORDS + (hash & slotMask) * 2 + 1] as number;
    }
    for (let i = 0; i < count; i++) {
      const { hash } = questions[i] as Question;
      read ^= words[(words[HEADER_WORDS + (hash & slotMask) * 2 + 1] as number) >> 2] as number;
    }
    this.warmed = read;
  }

  /** The record of the question's name, or 0 when there is none or it is gone. */
  find(question: Question): number {
    const { words, slotMask } = this;
    const { hash, nameWords, nameBytes } = question;
    // Each slot is looked at once: one that was empty may hold another name a moment later.
    for (let slot = hash & slotMask; ; slot = (slot + 1) & slotMask) {
      const at = HEADER_WORDS + slot * 2;
      const record = words[at + 1] as number;
      if (record === 0) return 0;
      if (words[at] === hash && this.#hasName(record, nameWords, nameBytes)) {
        return this.kind(record) === RECORD.GONE ? 0 : record;
      }
    }
  }

  /** For the writer: the slot that holds the name, or the empty one where it would stand. */
  protected findSlot(hash: number, name: Int32Array, nameBytes: number): number {
    const { words, slotMask } = this;
    let slot = hash & slotMask;
    for (;;) {
      const at = HEADER_WORDS + slot * 2;
      const record = words[at + 1] as number;
      if (record === 0 || (words[at] === hash && this.#hasName(record, name, nameBytes))) return slot;
      slot = (slot + 1) & slotMask;
    }
  }

  #hasName(record: number, name: Int32Array, nameBytes: number): boolean {
    const { words } = this;
    if (this.nameBytes(record) !== nameBytes) return false;
    const from = (record + RECORD_HEAD_BYTES) >> 2;
    const count = (nameBytes + 3) >> 2;
    for (let i = 0; i < count; i++) {
      if (words[from + i] !== name[i]) return false;
    }
    return true;
  }

  kind(record: number): number {
    return ((this.words[record >> 2] as number) >> 16) & 0xff;
  }

  nameBytes(record: number): number {
    return (this.words[record >> 2] as number) & 0xffff;
  }

  /** Octet `index` of the record's name. */
  nameByte(record: number, index: number): number {
    return this.view.getUint8(record + RECORD_HEAD_BYTES + index);
  }

  addressCount(record: number): number {
    return (this.words[(record >> 2) + 1] as number) & 0xffff;
  }

  /** How many of the addresses, counted from the first, are this server's own containers'. */
  ownCount(record: number): number {
    return (this.words[(record >> 2) + 1] as number) >>> 16;
  }

  /** Offset of the record's first address, for {@link addressAt}. */
  addressesAt(record: number): number {
    return record + RECORD_HEAD_BYTES + ((this.nameBytes(record) + 3) & ~3);
  }

  /** An address as a signed word: numbers above 2^31 are slower to handle. */
  addressAt(addresses: number, index: number): number {
    return this.words[(addresses >> 2) + index] as number;
  }

  /** The record whose name is the answer for an address, by its distance from the cluster's first; 0: none. */
  reverse(distance: number): number {
    return distance < this.#reverseCount ? (this.words[this.#reverseWord + distance] as number) : 0;
  }
}

/** Words of the header that the writer needs. */
export const TABLE_WORD = WORD;
export const TABLE_HEADER_WORDS = HEADER_WORDS;
export const TABLE_RECORD_HEAD_BYTES = RECORD_HEAD_BYTES;

/** Octets that a record takes in the arena. */
export function recordBytes(nameBytes: number, addresses: number): number {
  return RECORD_HEAD_BYTES + ((nameBytes + 3) & ~3) + addresses * 4;
}
