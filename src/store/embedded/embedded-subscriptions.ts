import type { ServerResponse } from "node:http";
import type { Clock } from "../../system/host.ts";
import type { EmbeddedDatabase, TouchedRows } from "./embedded-database.ts";
import { INTERNAL_PREFIX } from "./embedded-schema.ts";
import { findRows, FollowedQuery, type ChangeLine, type SavedSubscription } from "./embedded-subscription.ts";
import { LineStream } from "../line-stream.ts";
import type { FaultTarget, StoreFaults } from "./store-faults.ts";
import { encodeRow, parseExactJson, decodeStatement, type BoundValue, type DecodedStatement } from "../wire.ts";

/** What a client asks of a stream besides its statement. */
export interface StreamOptions {
  readonly from: number | undefined;
  readonly skipRows: boolean;
}

/** How far a slow reader may fall behind, in lines (Corrosion's own buffer). */
const MAX_PENDING_LINES = 10_240;
/** A subscription that nobody listens to is kept this long. */
const IDLE_MS = 10 * 60 * 1000;
const IDLE_CHECK_MS = 60 * 1000;

interface Followed {
  readonly query: FollowedQuery;
  readonly listeners: Set<LineStream>;
  idleSinceMs: number | undefined;
}

/** The subscriptions of the embedded store: who listens to what, and when changes are looked for. */
export class EmbeddedSubscriptions implements FaultTarget {
  readonly #database: EmbeddedDatabase;
  readonly #clock: Clock;
  readonly #faults: StoreFaults;
  readonly #tickMs: number;
  readonly #closed = new AbortController();
  readonly #followed = new Map<string, Followed>();
  readonly #updates = new Map<string, Set<LineStream>>();
  #touched = new Map<string, Map<string, readonly BoundValue[]>>();
  #tickScheduled = false;
  /** change lines leave in order, even when the delay is changed in between */
  #lastSend: Promise<void> = Promise.resolve();

  constructor(database: EmbeddedDatabase, clock: Clock, faults: StoreFaults, tickMs: number) {
    this.#database = database;
    this.#clock = clock;
    this.#faults = faults;
    this.#tickMs = tickMs;
    this.#restore();
    void this.#forgetIdle();
  }

  /** The subscription of that statement, if there is one. Throws SqlRefused. */
  find(statement: DecodedStatement): FollowedQuery | undefined {
    const finder = findRows(this.#database, statement);
    return [...this.#followed.values()].find(({ query }) => query.finder.text === finder.text)?.query;
  }

  get(id: string): FollowedQuery | undefined {
    return this.#followed.get(id)?.query;
  }

  /** Follows a statement from now on. Throws SqlRefused. */
  begin(statement: DecodedStatement): FollowedQuery {
    const query = FollowedQuery.begin(statement, findRows(this.#database, statement));
    this.#add(query);
    return query;
  }

  /** Answers with the subscription's lines, for ever. The head must have been written. */
  stream(query: FollowedQuery, options: StreamOptions, response: ServerResponse): void {
    const followed = this.#followed.get(query.id);
    if (followed === undefined) {
      response.end();
      return;
    }
    const { lines, fails } = openingLines(query, options);
    const stream = this.#open(response, followed.listeners, lines, () => {
      if (followed.listeners.size === 0) followed.idleSinceMs = this.#clock.monotonicMs();
    });
    followed.idleSinceMs = undefined;
    if (fails) stream.end();
    else stream.pump();
  }

  /** Answers with the keys of a table's rows as they change, for ever. The head must have been written. */
  streamUpdates(table: string, response: ServerResponse): void {
    const listeners = this.#updates.get(table) ?? new Set();
    this.#updates.set(table, listeners);
    this.#open(response, listeners, undefined, () => {}).pump();
  }

  /** Tells what a transaction touched; listeners hear of it at the next tick. */
  note(touched: TouchedRows): void {
    for (const [table, rows] of touched) {
      const keys = this.#touched.get(table) ?? new Map<string, readonly BoundValue[]>();
      this.#touched.set(table, keys);
      for (const key of rows) keys.set(encodeRow(key), key);
    }
    if (this.#tickScheduled || touched.size === 0) return;
    this.#tickScheduled = true;
    void this.#tick();
  }

  /** Ends all streams and saves all subscriptions, so that the next start goes on with the same ids. */
  close(): void {
    this.#closed.abort();
    this.#lookForChanges();
    this.endStreams();
    this.#save();
  }

  endStreams(message?: string): void {
    const line = message === undefined ? undefined : JSON.stringify({ error: message });
    for (const stream of this.#streams()) stream.endNow(line);
  }

  shiftChangeIds(by: number): void {
    for (const { query } of this.#followed.values()) query.shiftChangeIds(by);
  }

  forgetSubscriptions(): void {
    this.endStreams();
    this.#followed.clear();
  }

  resume(): void {
    for (const stream of this.#streams()) stream.pump();
  }

  #add(query: FollowedQuery): void {
    this.#followed.set(query.id, { query, listeners: new Set(), idleSinceMs: this.#clock.monotonicMs() });
  }

  #streams(): readonly LineStream[] {
    const listeners = [...this.#followed.values()].map((followed) => followed.listeners);
    return [...listeners, ...this.#updates.values()].flatMap((streams) => [...streams]);
  }

  #open(
    response: ServerResponse,
    listeners: Set<LineStream>,
    source: Iterator<string> | undefined,
    onClose: () => void,
  ): LineStream {
    const stream: LineStream = new LineStream(response, {
      ...(source === undefined ? {} : { source }),
      maxPending: MAX_PENDING_LINES,
      isHeld: () => this.#faults.stalled,
      onClose: () => {
        listeners.delete(stream);
        onClose();
      },
    });
    listeners.add(stream);
    return stream;
  }

  async #tick(): Promise<void> {
    try {
      await this.#clock.sleep(this.#tickMs, this.#closed.signal);
    } catch {
      return;
    }
    this.#tickScheduled = false;
    this.#lookForChanges();
  }

  #lookForChanges(): void {
    const touched = new Map([...this.#touched].map(([table, keys]) => [table, [...keys.values()]]));
    this.#touched = new Map();
    if (touched.size === 0) return;
    for (const { query, listeners } of this.#followed.values()) this.#send(listeners, linesOf(query.update(touched)));
    for (const [table, listeners] of this.#updates) {
      if (listeners.size > 0) this.#send(listeners, this.#notifyLines(table, touched.get(table) ?? []));
    }
  }

  #send(listeners: ReadonlySet<LineStream>, lines: readonly string[]): void {
    if (lines.length === 0) return;
    const streams = [...listeners];
    const send = (): void => {
      for (const stream of streams) for (const line of lines) stream.push(line);
    };
    const { changeDelayMs } = this.#faults;
    if (changeDelayMs === 0) send();
    else this.#lastSend = Promise.all([this.#lastSend, this.#delay(changeDelayMs)]).then(send);
  }

  async #delay(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#closed.signal).catch(() => {});
  }

  #notifyLines(table: string, keys: readonly (readonly BoundValue[])[]): readonly string[] {
    const columns = this.#database.tables.get(table)?.primaryKey ?? [];
    return keys.map((key) => {
      const type = this.#database.hasRow(table, columns, key) ? "update" : "delete";
      return `{"notify":["${type}",${encodeRow(key)}]}`;
    });
  }

  async #forgetIdle(): Promise<void> {
    for (;;) {
      try {
        await this.#clock.sleep(IDLE_CHECK_MS, this.#closed.signal);
      } catch {
        return;
      }
      if (this.#closed.signal.aborted) return;
      const now = this.#clock.monotonicMs();
      for (const [id, { idleSinceMs }] of this.#followed) {
        if (idleSinceMs !== undefined && now - idleSinceMs >= IDLE_MS) this.#followed.delete(id);
      }
    }
  }

  #save(): void {
    this.#database.writeInternally((run) => {
      createTables(run);
      for (const { query } of this.#followed.values()) {
        const { id, statement, lastRowId, lastChangeId, rows, changes } = query.save();
        const { sql, params } = statement;
        const text = `[${JSON.stringify(sql)},${encodeParams(params)}]`;
        run(`INSERT INTO ${INTERNAL_PREFIX}subscriptions VALUES (?, ?, ?, ?)`, id, text, lastRowId, lastChangeId);
        for (const [key, rowId, values] of rows) {
          run(`INSERT INTO ${INTERNAL_PREFIX}subscription_rows VALUES (?, ?, ?, ?)`, id, key, rowId, values);
        }
        for (const { id: changeId, line } of changes) {
          run(`INSERT INTO ${INTERNAL_PREFIX}subscription_changes VALUES (?, ?, ?)`, id, changeId, line);
        }
      }
    });
  }

  /**
   * What was saved is taken and deleted: after a crash it would be of an earlier time, and clients would be told ids a
   * second time. They then get a new subscription.
   */
  #restore(): void {
    this.#database.writeInternally(createTables);
    const read = (sql: string, ...params: readonly BoundValue[]) => this.#database.readAll({ sql, params });
    const saved = read(`SELECT * FROM ${INTERNAL_PREFIX}subscriptions`).map(
      ([id, text, lastRowId, lastChangeId]): SavedSubscription | undefined => {
        const statement = decodeStatement(parseExactJson(String(text)));
        if (statement === undefined) return undefined;
        const rows = read(`SELECT key, row_id, row FROM ${INTERNAL_PREFIX}subscription_rows WHERE id = ?`, id ?? null);
        const changes = read(
          `SELECT change_id, line FROM ${INTERNAL_PREFIX}subscription_changes WHERE id = ? ORDER BY change_id`,
          id ?? null,
        );
        return {
          id: String(id),
          statement,
          lastRowId: Number(lastRowId),
          lastChangeId: Number(lastChangeId),
          rows: rows.map(([key, rowId, row]) => [String(key), Number(rowId), String(row)]),
          changes: changes.map(([changeId, line]) => ({ id: Number(changeId), line: String(line) })),
        };
      },
    );
    for (const subscription of saved) {
      if (subscription === undefined) continue;
      try {
        this.#add(FollowedQuery.resume(subscription, findRows(this.#database, subscription.statement)));
      } catch {
        // The schema no longer has what it asks for; its client subscribes anew and is told so.
      }
    }
    this.#database.writeInternally((run) => {
      for (const table of SAVED_TABLES) run(`DELETE FROM ${INTERNAL_PREFIX}${table}`);
    });
  }
}

const SAVED_TABLES = ["subscriptions", "subscription_rows", "subscription_changes"] as const;

function createTables(run: (sql: string) => void): void {
  const create = (name: (typeof SAVED_TABLES)[number], columns: string): void =>
    run(`CREATE TABLE IF NOT EXISTS ${INTERNAL_PREFIX}${name} (${columns})`);
  create("subscriptions", "id TEXT, statement TEXT, last_row_id INTEGER, last_change_id INTEGER");
  create("subscription_rows", "id TEXT, key TEXT, row_id INTEGER, row TEXT");
  create("subscription_changes", "id TEXT, change_id INTEGER, line TEXT");
}

function encodeParams(params: DecodedStatement["params"]): string {
  if (Array.isArray(params)) return encodeRow(params as readonly BoundValue[]);
  const named = Object.entries(params).map(
    ([name, value]) => `${JSON.stringify(name)}:${encodeRow([value]).slice(1, -1)}`,
  );
  return `{${named.join(",")}}`;
}

function linesOf(changes: readonly ChangeLine[]): readonly string[] {
  return changes.map((change) => change.line);
}

/** What a stream begins with; `fails` when it ends after that. */
function openingLines(
  query: FollowedQuery,
  { from, skipRows }: StreamOptions,
): { readonly lines: Iterator<string>; readonly fails: boolean } {
  if (from === undefined || from === 0) {
    return { lines: skipRows ? [][Symbol.iterator]() : query.snapshot(), fails: false };
  }
  const since = query.changesSince(from);
  if ("lines" in since) return { lines: since.lines[Symbol.iterator](), fails: false };
  const error = `subscription already deleted older changes, min change id: ${since.oldest}`;
  return { lines: [JSON.stringify({ error })][Symbol.iterator](), fails: true };
}
