import { cidrParts, type Cidr } from "../../model/cluster.ts";

/** 127.0.0.0/8, for the server's own programs. */
const LOOPBACK_FIRST = 0x7f000000;
const LOOPBACK_MASK = -1 << 24;

const MAX_NETWORKS = 64;

/** Words that a shared list takes: which of its two copies counts, then both. */
export const ACCESS_WORDS = 1 + 2 * (1 + MAX_NETWORKS * 2);
const COPY_WORDS = 1 + MAX_NETWORKS * 2;

/**
 * Who may ask, in memory that a writer and readers on other threads share: loopback, and the networks that were set.
 * A reader sees one of the lists whole, never a mixture.
 */
export class AccessList {
  readonly #words: Int32Array;

  /** @param words {@link ACCESS_WORDS} words of shared memory, zero at first */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** Lets exactly these networks (the first 64) and loopback ask. */
  allow(networks: readonly Cidr[]): void {
    const words = this.#words;
    const next = 1 - Atomics.load(words, 0);
    const base = 1 + next * COPY_WORDS;
    const kept = networks.slice(0, MAX_NETWORKS);
    words[base] = kept.length;
    for (const [index, network] of kept.entries()) {
      const { first, prefix } = cidrParts(network);
      words[base + 1 + index * 2] = first | 0;
      words[base + 2 + index * 2] = prefix === 0 ? 0 : -1 << (32 - prefix);
    }
    Atomics.store(words, 0, next);
  }

  /** Whether a question from this IPv4 address (as a number, signed or not) is answered. */
  mayAsk(address: number): boolean {
    if ((address & LOOPBACK_MASK) === LOOPBACK_FIRST) return true;
    const words = this.#words;
    // A plain load, as in the table: what is read next stands where it says.
    const base = 1 + (words[0] as number) * COPY_WORDS;
    const count = words[base] as number;
    for (let at = base + 1, end = at + count * 2; at < end; at += 2) {
      if ((address & (words[at + 1] as number)) === words[at]) return true;
    }
    return false;
  }
}
