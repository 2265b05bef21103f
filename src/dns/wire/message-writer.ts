import { CLASS_IN, HEADER_BYTES, TYPE } from "./wire.ts";

/** Offsets beyond this cannot be pointed to (RFC 1035 §4.1.4). */
const MAX_POINTER = 0x3fff;

/**
 * Writes records after a question, with names compressed against everything before them. Growing; for the answers that
 * are not made in place.
 */
export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at: number;
  /** lower-cased names, as text of their octets → where they stand */
  readonly #names = new Map<string, number>();

  /** @param question the message up to the end of its question, which is copied */
  constructor(question: Uint8Array) {
    this.#bytes = new Uint8Array(512);
    this.#view = new DataView(this.#bytes.buffer);
    this.#at = question.length;
    this.#reserve(0);
    this.#bytes.set(question);
    this.#remember(question.subarray(HEADER_BYTES, question.length - 4), HEADER_BYTES);
  }

  get length(): number {
    return this.#at;
  }

  /** The message so far; its counts and flags are still to be set. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  a(owner: Uint8Array, ttlSeconds: number, address: number): void {
    const end = this.#record(owner, TYPE.A, ttlSeconds);
    this.#reserve(4);
    this.#view.setUint32(this.#at, address);
    this.#at += 4;
    end();
  }

  /** The target is not compressed (RFC 2782). */
  srv(owner: Uint8Array, ttlSeconds: number, port: number, target: Uint8Array): void {
    const end = this.#record(owner, TYPE.SRV, ttlSeconds);
    this.#reserve(6 + target.length);
    this.#view.setUint16(this.#at, 0);
    this.#view.setUint16(this.#at + 2, 0);
    this.#view.setUint16(this.#at + 4, port);
    this.#bytes.set(target, this.#at + 6);
    this.#at += 6 + target.length;
    end();
  }

  /** Each text becomes one string of at most 255 octets. */
  txt(owner: Uint8Array, ttlSeconds: number, texts: readonly string[]): void {
    const end = this.#record(owner, TYPE.TXT, ttlSeconds);
    for (const text of texts) {
      const octets = Buffer.from(text, "utf8").subarray(0, 255);
      this.#reserve(1 + octets.length);
      this.#bytes[this.#at] = octets.length;
      this.#bytes.set(octets, this.#at + 1);
      this.#at += 1 + octets.length;
    }
    end();
  }

  /** Writes a record's head; the function that comes back sets the length of its data. */
  #record(owner: Uint8Array, type: number, ttlSeconds: number): () => void {
    this.#name(owner);
    this.#reserve(10);
    const at = this.#at;
    this.#view.setUint16(at, type);
    this.#view.setUint16(at + 2, CLASS_IN);
    this.#view.setUint32(at + 4, ttlSeconds);
    this.#at = at + 10;
    return () => this.#view.setUint16(at + 8, this.#at - at - 10);
  }

  #name(name: Uint8Array): void {
    for (let from = 0; ; from += (name[from] ?? 0) + 1) {
      const known = this.#names.get(keyOf(name, from));
      const labels = name.subarray(0, from);
      if (known === undefined && name[from] !== 0) continue;
      this.#reserve(labels.length + 2);
      this.#bytes.set(labels, this.#at);
      const end = this.#at + labels.length;
      if (known === undefined) this.#bytes[end] = 0;
      else this.#view.setUint16(end, 0xc000 | known);
      const start = this.#at;
      this.#at = end + (known === undefined ? 1 : 2);
      this.#remember(name, start, from);
      return;
    }
  }

  /** Notes where the name and its ends stand, up to the label that was pointed to. */
  #remember(name: Uint8Array, at: number, until = name.length): void {
    for (let from = 0; from < until && name[from] !== 0; from += (name[from] ?? 0) + 1) {
      const key = keyOf(name, from);
      if (at + from <= MAX_POINTER && !this.#names.has(key)) this.#names.set(key, at + from);
    }
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + more));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

function keyOf(name: Uint8Array, from: number): string {
  let key = "";
  for (let at = from; at < name.length; at++) {
    const octet = name[at] ?? 0;
    key += String.fromCharCode(octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet);
  }
  return key;
}
