import type { Secret } from "../model/secret.ts";
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
/** Enough of a refusal to show. */
const MAX_REFUSAL_BYTES = 64 * 1024;

/**
 * The client for Corrosion, the embedded store and the agent's relay. It keeps no connection between calls, so it can
 * be opened before the store is there. An answer is taken as good only with status 200 and its end mark; everything
 * else becomes a {@link StoreError} with the store's words as they came, which differ between releases and are never
 * interpreted. Reading a stream slowly slows the store down instead of filling the memory.
 */
export function openStoreClient(options: StoreClientOptions): StoreClient {
  return new HttpStoreClient(options);
}

class HttpStoreClient implements StoreClient {
  readonly #options: StoreClientOptions;
  readonly #open = new Set<StoreAnswer>();
  readonly #closed = new AbortController();

  constructor(options: StoreClientOptions) {
    this.#options = options;
  }

  async transact(statements: readonly Statement[], options: { signal?: AbortSignal } = {}): Promise<TransactionResult> {
    const body = `[${statements.map(encodeStatement).join(",")}]`;
    const answer = await this.#post("/v1/transactions", body, TRANSACTION_TIMEOUT_MS, options.signal);
    try {
      return decodeTransaction(await this.#wholeBody(answer), statements.length);
    } finally {
      this.#release(answer);
    }
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
    const startedMs = performance.now();
    const path = `/v1/queries?timeout=${seconds}`;
    const answer = await this.#post(path, encodeStatement(statement), limitMs, options.signal);
    const over = new AbortController();
    const timer = setTimeout(
      () => {
        over.abort(new StoreError(`the store's answer had no end after ${seconds} s`));
        answer.close();
      },
      Math.max(0, limitMs - (performance.now() - startedMs)),
    );
    const release = (): void => {
      clearTimeout(timer);
      this.#release(answer);
    };
    const lines = this.#lines(answer);
    try {
      return new HttpQueryStream(await readColumns(lines), lines, over.signal, release);
    } catch (error) {
      release();
      throw over.signal.aborted ? over.signal.reason : error;
    }
  }

  async subscribe(statement: Statement, options: { signal?: AbortSignal } = {}): Promise<Subscription> {
    const answer = await this.#post(
      "/v1/subscriptions",
      encodeStatement(statement),
      SUBSCRIPTION_TIMEOUT_MS,
      options.signal,
    );
    const release = (): void => this.#release(answer);
    return new HttpSubscription(answer.header("corro-query-id") ?? "", this.#lines(answer), release);
  }

  close(): void {
    this.#closed.abort(new StoreError("the store client was closed"));
    for (const answer of this.#open) this.#release(answer);
  }

  async #post(path: string, body: string, headTimeoutMs: number, signal?: AbortSignal): Promise<StoreAnswer> {
    const ends = signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
    const answer = await sendRequest(storeAddress(this.#options.url), {
      method: "POST",
      path,
      body,
      token: this.#options.token,
      signal: ends,
      headTimeoutMs,
    });
    if (answer.status === 200) {
      this.#open.add(answer);
      return answer;
    }
    const text = await readSome(answer, MAX_REFUSAL_BYTES);
    answer.close();
    throw refusal(answer.status, text);
  }

  #lines(answer: StoreAnswer): AsyncGenerator<string> {
    return splitLines(answer.body, this.#options.maxLineBytes ?? MAX_LINE_BYTES);
  }

  async #wholeBody(answer: StoreAnswer): Promise<string> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of answer.body) chunks.push(chunk);
    } catch (cause) {
      throw brokenOff(cause);
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  #release(answer: StoreAnswer): void {
    this.#open.delete(answer);
    answer.close();
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
  readonly #over: AbortSignal;
  readonly #release: () => void;

  constructor(columns: readonly string[], lines: AsyncGenerator<string>, over: AbortSignal, release: () => void) {
    this.columns = columns;
    this.#lines = lines;
    this.#over = over;
    this.#release = release;
  }

  close(): void {
    this.#release();
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
    } catch (cause) {
      throw this.#over.aborted ? this.#over.reason : brokenOff(cause);
    } finally {
      this.#release();
    }
    throw this.#over.aborted ? this.#over.reason : brokenOff();
  }
}

class HttpSubscription implements Subscription {
  readonly id: string;
  readonly #lines: AsyncGenerator<string>;
  readonly #release: () => void;

  constructor(id: string, lines: AsyncGenerator<string>, release: () => void) {
    this.id = id;
    this.#lines = lines;
    this.#release = release;
  }

  close(): void {
    this.#release();
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
      this.#release();
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
