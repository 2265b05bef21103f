import type { Secret } from "../model/secret.ts";
import { Semaphore } from "../model/semaphore.ts";
import { LineTooLong, splitLines } from "../system/line-split.ts";
import { sendRequest, type StoreAnswer } from "./http-request.ts";
import { storeAddress, type StoreUrl } from "./store-url.ts";
import {
  StoreError,
  type QueryResult,
  type QueryStream,
  type Row,
  type StoreClient,
  type Statement,
  type Subscription,
  type SubscriptionEvent,
  type TransactionResult,
} from "./store.ts";
import { decodeRow, encodeStatement, parseExactJson } from "./wire.ts";

/** How a store is reached. */
export interface StoreClientOptions {
  readonly url: StoreUrl;
  readonly token?: Secret | undefined;
  /**
   * Longest line of an answer, default 16 MiB. Records are bounded to a few kilobytes where they are written and where
   * they are subscribed to; only a cell that somebody asks for by hand may be large, and a BLOB is four bytes of text
   * for each of its own.
   */
  readonly maxLineBytes?: number;
}

/** Corrosion's own limit for a query that names none. */
const DEFAULT_QUERY_SECONDS = 60;
/**
 * The store's own time-out comes first, so that its words are seen and not the client's. It must not be relied on:
 * Corrosion v1.0.0 measures each row by itself, and earlier ones do not stop a query at all.
 */
const GRACE_MS = 1000;
/** Node's timers end there. */
const LONGEST_MS = 2 ** 31 - 1;
/** A transaction waits for the writers before it; the store itself sets no limit. */
const TRANSACTION_TIMEOUT_MS = 60_000;
/** Corrosion gives a subscription's first query 15 s. */
const SUBSCRIPTION_TIMEOUT_MS = 30_000;
const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** The store refuses requests beyond 128, all its clients together, whose answers have not begun; this client keeps to a quarter. */
const MAX_SETUPS = 32;
/** Enough of a refusal to show. */
const MAX_REFUSAL_BYTES = 64 * 1024;

/**
 * The client for Corrosion, the embedded store and the agent's relay. It keeps no connection between calls, so it can
 * be opened before the store is there. An answer is taken as good only with status 200 and its end mark; everything
 * else becomes a {@link StoreError} with the store's words as they came, which differ between releases and are never
 * interpreted. Any number of calls may be made at once: they wait for each other where the store would refuse. Reading a stream slowly slows the store down instead of filling the memory.
 */
export function openStoreClient(options: StoreClientOptions): StoreClient {
  return new HttpStoreClient(options);
}

class HttpStoreClient implements StoreClient {
  readonly #options: StoreClientOptions;
  readonly #calls = new Set<Call>();
  readonly #semaphore = new Semaphore(MAX_SETUPS);
  #isClosed = false;

  constructor(options: StoreClientOptions) {
    this.#options = options;
  }

  async transact(statements: readonly Statement[], options: { signal?: AbortSignal } = {}): Promise<TransactionResult> {
    const body = `[${statements.map(encodeStatement).join(",")}]`;
    const { call, answer } = await this.#post("/v1/transactions", body, TRANSACTION_TIMEOUT_MS, options.signal);
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of answer.body) chunks.push(chunk);
    } catch (cause) {
      throw call.whyEnded(cause);
    } finally {
      call.release();
    }
    return decodeTransaction(Buffer.concat(chunks).toString("utf8"), statements.length);
  }

  async query(
    statement: Statement,
    options: { signal?: AbortSignal; timeoutSeconds?: number } = {},
  ): Promise<QueryResult> {
    const stream = await this.stream(statement, options);
    const rows: Row[] = [];
    for await (const row of stream) rows.push(row);
    return { columns: stream.columns, rows };
  }

  async stream(
    statement: Statement,
    options: { signal?: AbortSignal; timeoutSeconds?: number } = {},
  ): Promise<QueryStream> {
    const seconds = options.timeoutSeconds ?? DEFAULT_QUERY_SECONDS;
    if (!Number.isInteger(seconds) || seconds < 0) throw new TypeError(`not whole seconds: ${seconds}`);
    // 0 means no limit to the store.
    const limitMs = seconds === 0 ? LONGEST_MS : Math.min(seconds * 1000 + GRACE_MS, LONGEST_MS);
    const path = `/v1/queries?timeout=${seconds}`;
    const startedMs = performance.now();
    const { call, answer } = await this.#post(path, encodeStatement(statement), limitMs, options.signal);
    call.endAfter(
      limitMs - (performance.now() - startedMs),
      new StoreError(`the store's answer had no end after ${seconds} s`),
    );
    const lines = this.#lines(answer);
    try {
      return new HttpQueryStream(await readColumns(lines), lines, call);
    } catch (cause) {
      call.release();
      throw call.whyEnded(cause);
    }
  }

  async subscribe(statement: Statement, options: { signal?: AbortSignal } = {}): Promise<Subscription> {
    const body = encodeStatement(statement);
    const { call, answer } = await this.#post("/v1/subscriptions", body, SUBSCRIPTION_TIMEOUT_MS, options.signal);
    return new HttpSubscription(answer.header("corro-query-id") ?? "", this.#lines(answer), call);
  }

  close(): void {
    this.#isClosed = true;
    for (const call of this.#calls) call.end(new StoreError("the store client was closed"));
  }

  async #post(
    path: string,
    body: string,
    headTimeoutMs: number,
    cancel: AbortSignal | undefined,
  ): Promise<{ readonly call: Call; readonly answer: StoreAnswer }> {
    if (this.#isClosed) throw new StoreError("the store client was closed");
    const { url, token } = this.#options;
    const call = new Call(cancel, () => this.#calls.delete(call));
    this.#calls.add(call);
    let leave = (): void => {};
    try {
      call.endAfter(
        headTimeoutMs,
        new StoreError(`too many requests to the store are under way: no turn in ${headTimeoutMs} ms`),
      );
      leave = await this.#semaphore.enter(call.signal);
      call.goOn();
      const message = { method: "POST", path, body, token, signal: call.signal, headTimeoutMs } as const;
      const answer = await sendRequest(storeAddress(url), message);
      if (answer.status === 200) return { call, answer };
      throw refusal(answer.status, await readSome(answer, MAX_REFUSAL_BYTES));
    } catch (cause) {
      call.release();
      throw call.whyEnded(cause);
    } finally {
      leave();
    }
  }

  #lines(answer: StoreAnswer): AsyncGenerator<string> {
    return splitLines(answer.body, this.#options.maxLineBytes ?? MAX_LINE_BYTES);
  }
}

/**
 * One request from its start to the end of its answer, and everything that may end it early. It has a signal of its
 * own, so that nothing of it hangs on the caller's afterwards.
 */
class Call {
  readonly #controller = new AbortController();
  readonly #cancel: AbortSignal | undefined;
  readonly #onRelease: () => void;
  readonly #onCancel = (): void => this.end(new StoreError("the request to the store was cancelled"));
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isReleased = false;

  constructor(cancel: AbortSignal | undefined, onRelease: () => void) {
    this.#cancel = cancel;
    this.#onRelease = onRelease;
    if (cancel?.aborted === true) this.#onCancel();
    else cancel?.addEventListener("abort", this.#onCancel, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Breaks it off; whoever reads its answer gets this error. */
  end(error: StoreError): void {
    if (!this.#isReleased) this.#controller.abort(error);
  }

  /** Breaks it off when that time is over, instead of what was said before. */
  endAfter(ms: number, error: StoreError): void {
    this.goOn();
    this.#timer = setTimeout(() => this.end(error), Math.max(0, ms));
  }

  /** Takes back {@link endAfter}. */
  goOn(): void {
    clearTimeout(this.#timer);
  }

  /** The error to throw for one that was caught while reading: when this call was broken off, why. */
  whyEnded(cause?: unknown): StoreError {
    const { aborted, reason } = this.#controller.signal;
    return aborted && reason instanceof StoreError ? reason : brokenOff(cause);
  }

  /** Lets go of the connection and of everything else; may be called again. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.goOn();
    this.#cancel?.removeEventListener("abort", this.#onCancel);
    this.#onRelease();
    // Without a reason of ours: after the end of an answer nobody listens, before it whoever reads just stops.
    this.#controller.abort();
  }
}

/** The body of a refusal, as far as it comes. */
async function readSome(answer: StoreAnswer, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= maxBytes) break;
    }
  } catch {
    // What has come is worth more than why the rest did not.
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString("utf8").trim();
}

function refusal(status: number, body: string): StoreError {
  if (status === 401) return new StoreError("the store refused the token (401)", status);
  return new StoreError(`the store refused (${status})${body === "" ? "" : `: ${body}`}`, status);
}

function brokenOff(cause?: unknown): StoreError {
  const options = cause === undefined ? undefined : { cause };
  if (cause instanceof StoreError) return cause;
  if (cause instanceof LineTooLong) return new StoreError(`the store's answer was left: ${cause.message}`);
  return new StoreError("the store's answer broke off", undefined, options);
}

function decodeTransaction(body: string, count: number): TransactionResult {
  const json = parseLine(body);
  const { results, version } = json;
  if (!Array.isArray(results) || results.length !== count) throw new StoreError(`not a transaction's answer: ${body}`);
  return {
    results: results.map((result: unknown) => {
      const affected = (result as { rows_affected?: unknown } | null)?.rows_affected;
      if (typeof affected !== "number") throw new StoreError(`not a transaction's answer: ${body}`);
      return { rowsAffected: affected };
    }),
    version: typeof version === "number" ? version : null,
  };
}

type Line = Readonly<Record<string, unknown>>;

function parseLine(text: string): Line {
  let json: unknown;
  try {
    json = parseExactJson(text);
  } catch (cause) {
    throw new StoreError(`the store sent what is not JSON: ${text.slice(0, 200)}`, undefined, { cause });
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    const line = json as Line;
    if (typeof line["error"] === "string") throw new StoreError(line["error"]);
    return line;
  }
  throw unknownLine(text);
}

function unknownLine(text: string): StoreError {
  return new StoreError(`the store sent an unknown line: ${text.slice(0, 200)}`);
}

async function readColumns(lines: AsyncGenerator<string>): Promise<readonly string[]> {
  let first: IteratorResult<string>;
  try {
    first = await lines.next();
  } catch (cause) {
    throw brokenOff(cause);
  }
  if (first.done === true) throw brokenOff();
  const columns = decodeColumns(parseLine(first.value));
  if (columns === undefined) throw unknownLine(first.value);
  return columns;
}

function decodeColumns(line: Line): readonly string[] | undefined {
  const columns = line["columns"];
  if (!Array.isArray(columns) || !columns.every((name) => typeof name === "string")) return undefined;
  return columns;
}

/** `[rowid, [values]]` */
function decodeNumberedRow(json: unknown): { readonly rowId: number; readonly values: Row } | undefined {
  if (!Array.isArray(json) || typeof json[0] !== "number") return undefined;
  const values = decodeRow(json[1]);
  return values === undefined ? undefined : { rowId: json[0], values };
}

class HttpQueryStream implements QueryStream {
  readonly columns: readonly string[];
  readonly #lines: AsyncGenerator<string>;
  readonly #call: Call;

  constructor(columns: readonly string[], lines: AsyncGenerator<string>, call: Call) {
    this.columns = columns;
    this.#lines = lines;
    this.#call = call;
  }

  close(): void {
    this.#call.release();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row> {
    try {
      for await (const text of this.#lines) {
        const line = parseLine(text);
        if (line["eoq"] !== undefined) return;
        const row = decodeNumberedRow(line["row"]);
        if (row === undefined) throw unknownLine(text);
        yield row.values;
      }
      throw brokenOff();
    } catch (cause) {
      throw this.#call.whyEnded(cause);
    } finally {
      this.#call.release();
    }
  }
}

class HttpSubscription implements Subscription {
  readonly id: string;
  readonly #lines: AsyncGenerator<string>;
  readonly #call: Call;

  constructor(id: string, lines: AsyncGenerator<string>, call: Call) {
    this.id = id;
    this.#lines = lines;
    this.#call = call;
  }

  close(): void {
    this.#call.release();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SubscriptionEvent> {
    try {
      for (;;) {
        const next = await this.#nextLine();
        if (next === undefined) return;
        const event = decodeEvent(parseLine(next));
        if (event === undefined) throw unknownLine(next);
        yield event;
      }
    } finally {
      this.#call.release();
    }
  }

  /** A subscription may end at any time and for any reason; only what the store says in words is an error. */
  async #nextLine(): Promise<string | undefined> {
    try {
      const next = await this.#lines.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      if (error instanceof LineTooLong) throw brokenOff(error);
      return undefined;
    }
  }
}

function decodeEvent(line: Line): SubscriptionEvent | undefined {
  if (line["change"] !== undefined) return decodeChange(line["change"]);
  if (line["row"] !== undefined) {
    const row = decodeNumberedRow(line["row"]);
    return row === undefined ? undefined : { type: "row", ...row };
  }
  const columns = decodeColumns(line);
  if (columns !== undefined) return { type: "columns", columns };
  const end = line["eoq"];
  if (typeof end !== "object" || end === null) return undefined;
  const changeId = (end as { change_id?: unknown }).change_id;
  return { type: "ready", changeId: typeof changeId === "number" ? changeId : null };
}

/** `[type, rowid, [values], change id]` */
function decodeChange(json: unknown): SubscriptionEvent | undefined {
  if (!Array.isArray(json)) return undefined;
  const [change, rowId, list, changeId] = json as readonly unknown[];
  if (change !== "insert" && change !== "update" && change !== "delete") return undefined;
  const values = decodeRow(list);
  if (typeof rowId !== "number" || typeof changeId !== "number" || values === undefined) return undefined;
  return { type: "change", change, rowId, values, changeId };
}
