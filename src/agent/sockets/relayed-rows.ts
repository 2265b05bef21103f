/**
 * What a relayed subscription has told so far, reduced to one number per row: enough to compare it with the store's
 * own table, and to see a change that was lost. Values are compared as the text in which they came, which is the same
 * for a query and a subscription; nothing that another server wrote is interpreted.
 */
export class RelayedRows {
  readonly #hashes = new Map<number, number>();
  #sum = 0;
  #lastChangeId: number | undefined;
  #lines = 0;
  #isSound = true;

  /** Lines taken so far. */
  get lines(): number {
    return this.#lines;
  }

  /** Whether the snapshot is complete. */
  get isReady(): boolean {
    return this.#lastChangeId !== undefined;
  }

  /** False when a change is missing or came twice, or a line cannot be read: the stream is of no more use. */
  get isSound(): boolean {
    return this.#isSound;
  }

  /** Takes one line of the subscription. */
  take(line: string): void {
    this.#lines += 1;
    const row = ROW.exec(line);
    if (row !== null) return this.#set(Number(row[1]), row[2] ?? "");
    const change = CHANGE.exec(line);
    if (change !== null) return this.#change(change);
    const end = END.exec(line);
    if (end !== null) this.#lastChangeId = Number(end[1]);
    else if (!line.startsWith('{"columns":')) this.#isSound = false;
  }

  /** Whether a query's rows, each as a line, are the same rows. */
  equals(other: QueriedRows): boolean {
    return other.count === this.#hashes.size && other.sum === this.#sum;
  }

  #change([, type, rowId, values, changeId]: RegExpExecArray): void {
    const id = Number(changeId);
    if (id !== (this.#lastChangeId ?? 0) + 1) this.#isSound = false;
    this.#lastChangeId = id;
    if (type === "delete") this.#remove(Number(rowId));
    else this.#set(Number(rowId), values ?? "");
  }

  #set(rowId: number, values: string): void {
    this.#remove(rowId);
    const hash = hashOf(values);
    this.#hashes.set(rowId, hash);
    this.#sum += hash;
  }

  #remove(rowId: number): void {
    this.#sum -= this.#hashes.get(rowId) ?? 0;
    this.#hashes.delete(rowId);
  }
}

/** The rows of a query, reduced in the same way; their order does not matter. */
export class QueriedRows {
  count = 0;
  /** of 32-bit numbers, so exact for two million rows */
  sum = 0;
  isComplete = false;

  /** Takes one line of the query's answer. */
  take(line: string): void {
    const row = ROW.exec(line);
    if (row !== null) {
      this.count += 1;
      this.sum += hashOf(row[2] ?? "");
    } else if (line.startsWith('{"eoq":')) {
      this.isComplete = true;
    }
  }
}

const ROW = /^\{"row":\[([0-9]+),(\[.*\])\]\}$/s;
const CHANGE = /^\{"change":\["(insert|update|delete)",([0-9]+),(\[.*\]),([0-9]+)\]\}$/s;
const END = /^\{"eoq":\{.*"change_id":([0-9]+)\}\}$/s;

function hashOf(text: string): number {
  return Bun.hash.xxHash32(text);
}
