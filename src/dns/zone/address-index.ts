import { grown } from "./columns.ts";

/** Which rows have an address of the cluster. Addresses are counted from the cluster's first. */
export class AddressIndex {
  readonly #first: Int32Array;
  #next = new Int32Array(64);

  /** @param addresses how many there are */
  constructor(addresses: number) {
    this.#first = new Int32Array(addresses).fill(-1);
  }

  add(distance: number, row: number): void {
    if (row >= this.#next.length) this.#next = grown(this.#next, Math.max(row + 1, this.#next.length * 2));
    this.#next[row] = this.#first[distance] ?? -1;
    this.#first[distance] = row;
  }

  remove(distance: number, row: number): void {
    let before = -1;
    for (let at = this.#first[distance] ?? -1; at !== row; at = this.#next[at] ?? -1) {
      if (at < 0) return;
      before = at;
    }
    if (before < 0) this.#first[distance] = this.#next[row] ?? -1;
    else this.#next[before] = this.#next[row] ?? -1;
  }

  /** The rows that have the address. */
  *at(distance: number): IterableIterator<number> {
    for (let row = this.#first[distance] ?? -1; row >= 0; row = this.#next[row] ?? -1) yield row;
  }

  /** All addresses that some row has. */
  *taken(): IterableIterator<number> {
    for (const [distance, row] of this.#first.entries()) if (row >= 0) yield distance;
  }
}
