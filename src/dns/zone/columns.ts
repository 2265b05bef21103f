/** A typed array that grows: one property of many things, addressed by their numbers. */
type Numbers = Int32Array | Float64Array | Uint8Array | Uint16Array;

/** A larger array with the same content. The rest is not touched, so it takes no memory before it is used. */
export function grown<T extends Numbers>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}

/** Gives out the smallest unused numbers, first those that were given back. */
export class Numbering {
  readonly #free: number[] = [];
  #next = 0;

  /** All numbers given out so far are below this. */
  get end(): number {
    return this.#next;
  }

  take(): number {
    // pop() on an empty list costs many times what reading its length does.
    return this.#free.length === 0 ? this.#next++ : (this.#free.pop() as number);
  }

  giveBack(number: number): void {
    this.#free.push(number);
  }
}

/** A hash table of numbers: chains of things whose hashes fall into one bucket. The caller decides what is equal. */
export class Buckets {
  #heads = new Int32Array(64).fill(-1);
  #next = new Int32Array(64);
  #hashes = new Int32Array(64);
  #size = 0;

  /** The first thing of the hash's bucket, or -1. */
  first(hash: number): number {
    return this.#heads[hash & (this.#heads.length - 1)] ?? -1;
  }

  /** The thing after this one in its bucket, or -1. */
  after(id: number): number {
    return this.#next[id] ?? -1;
  }

  hashOf(id: number): number {
    return this.#hashes[id] ?? 0;
  }

  add(id: number, hash: number): void {
    if (id >= this.#next.length) {
      this.#next = grown(this.#next, id * 2);
      this.#hashes = grown(this.#hashes, id * 2);
    }
    this.#hashes[id] = hash;
    if (++this.#size > this.#heads.length) this.#spread();
    this.#link(id, hash);
  }

  remove(id: number): void {
    this.#size--;
    const bucket = this.hashOf(id) & (this.#heads.length - 1);
    let before = -1;
    for (let at = this.#heads[bucket] ?? -1; at !== id; at = this.after(at)) before = at;
    if (before < 0) this.#heads[bucket] = this.after(id);
    else this.#next[before] = this.after(id);
  }

  #link(id: number, hash: number): void {
    const bucket = hash & (this.#heads.length - 1);
    this.#next[id] = this.#heads[bucket] ?? -1;
    this.#heads[bucket] = id;
  }

  /** Twice as many buckets. */
  #spread(): void {
    const old = this.#heads;
    this.#heads = new Int32Array(old.length * 2).fill(-1);
    for (const head of old) {
      for (let id = head; id >= 0;) {
        const next = this.after(id);
        this.#link(id, this.hashOf(id));
        id = next;
      }
    }
  }
}
