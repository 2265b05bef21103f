import { RowDigest, type Told } from "../../store/stall.ts";

/**
 * What a relayed subscription has told so far: enough to compare it with the store's own table, and to see a change that
 * was lost. Values are compared as the text in which they came, which is the same for a query and a subscription;
 * nothing that another server wrote is interpreted.
 */
export class RelayedRows implements Told {
  readonly rows = new RowDigest();
  /** lines taken so far */
  events = 0;
  /** False when a change is missing or came twice, or a line cannot be read: the stream is of no more use. */
  isSound = true;
  #lastChangeId: number | undefined;

  get isWhole(): boolean {
    return this.#lastChangeId !== undefined;
  }

  /** Takes one line of the subscription. */
  take(line: string): void {
    this.events++;
    const row = ROW.exec(line);
    if (row !== null) return this.rows.set(Number(row[1]), row[2] ?? "");
    const change = CHANGE.exec(line);
    if (change !== null) return this.#change(change);
    const end = END.exec(line);
    if (end !== null) this.#lastChangeId = Number(end[1]);
    else if (!line.startsWith('{"columns":')) this.isSound = false;
  }

  #change([, type, rowId, values, changeId]: RegExpExecArray): void {
    const id = Number(changeId);
    if (id !== (this.#lastChangeId ?? 0) + 1) this.isSound = false;
    this.#lastChangeId = id;
    if (type === "delete") this.rows.remove(Number(rowId));
    else this.rows.set(Number(rowId), values ?? "");
  }
}

/** The rows of a query's answer, line by line; undefined when it is not whole. */
export async function digestAnswer(lines: AsyncIterable<string>): Promise<RowDigest | undefined> {
  const rows = new RowDigest();
  let isWhole = false;
  for await (const line of lines) {
    const row = ROW.exec(line);
    if (row !== null) rows.add(row[2] ?? "");
    else if (line.startsWith('{"eoq":')) isWhole = true;
  }
  return isWhole ? rows : undefined;
}

const ROW = /^\{"row":\[([0-9]+),(\[.*\])\]\}$/s;
const CHANGE = /^\{"change":\["(insert|update|delete)",([0-9]+),(\[.*\]),([0-9]+)\]\}$/s;
const END = /^\{"eoq":\{.*"change_id":([0-9]+)\}\}$/s;
