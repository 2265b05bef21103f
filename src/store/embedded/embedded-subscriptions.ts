import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { EmbeddedDatabase, TouchedRows } from "./embedded-database.ts";
import { quoteName } from "./embedded-schema.ts";
import { LineStream } from "./line-stream.ts";
import { parseSubscriptionQuery } from "./subscription-query.ts";
import { encodeRow, type BoundValue, type DecodedStatement } from "../wire.ts";

/** How far a slow reader may fall behind, in lines (Corrosion's own buffer). */
const MAX_PENDING_LINES = 10_240;

/** Faults on command, for tests of those who use a store (test/store-faults.ts). */
export interface Faults {
  /** every request is answered with this status and an empty body */
  readonly refuseWith: number | undefined;
  /** streams stay open and say nothing */
  readonly stalled: boolean;
  attach(store: EmbeddedSubscriptions): void;
}

/**
 * The subscriptions of the embedded store: equal statements share one, which lasts as long as somebody listens. They are
 * not kept over a restart and cannot be resumed, since every client of jiji's starts from a whole snapshot.
 */
export class EmbeddedSubscriptions {
  readonly #database: EmbeddedDatabase;
  readonly #faults: Faults | undefined;
  readonly #followed = new Map<string, FollowedQuery>();

  constructor(database: EmbeddedDatabase, faults: Faults | undefined) {
    this.#database = database;
    this.#faults = faults;
  }

  /** Answers with the subscription's lines, for ever. Throws SqlRefused, before anything is written. */
  stream(statement: DecodedStatement, response: ServerResponse): void {
    const text = `${statement.sql} ${encodeParams(statement.params)}`;
    const query = this.#followed.get(text) ?? new FollowedQuery(this.#database, statement);
    this.#followed.set(text, query);
    response.writeHead(200, { "corro-query-id": query.id }).flushHeaders();
    const stream = new LineStream(response, {
      source: query.snapshot(),
      maxPending: MAX_PENDING_LINES,
      isHeld: () => this.#faults?.stalled === true,
      onClose: () => {
        query.listeners.delete(stream);
        if (query.listeners.size === 0 && this.#followed.get(text) === query) this.#followed.delete(text);
      },
    });
    query.listeners.add(stream);
    stream.pump();
  }

  /** Tells the listeners what a transaction has changed. */
  tell(touched: TouchedRows): void {
    for (const query of this.#followed.values()) {
      for (const line of query.update(touched)) for (const stream of query.listeners) stream.push(line);
    }
  }

  /** Ends every stream; with a message, an error line comes first. */
  endStreams(message?: string): void {
    const lastLine = message === undefined ? undefined : JSON.stringify({ error: message });
    for (const stream of this.#streams()) stream.endNow(lastLine);
  }

  /** The next change of every subscription gets an id that is larger, or smaller, by this. */
  shiftChangeIds(by: number): void {
    for (const query of this.#followed.values()) query.shiftChangeIds(by);
  }

  /** Lets out what was held back. */
  resume(): void {
    for (const stream of this.#streams()) stream.pump();
  }

  #streams(): readonly LineStream[] {
    return [...this.#followed.values()].flatMap(({ listeners }) => [...listeners]);
  }
}

/** A query that is followed: its result as last told. */
class FollowedQuery {
  readonly id = randomUUID();
  readonly listeners = new Set<LineStream>();
  readonly #database: EmbeddedDatabase;
  readonly #table: string;
  readonly #columns: readonly string[];
  /** the statement with the primary key as hidden columns in front, which tell rows apart */
  readonly #withKeys: DecodedStatement;
  readonly #keyLength: number;
  /** key as JSON → the row's number, and its values as JSON */
  readonly #rows = new Map<string, { readonly rowId: number; readonly values: string }>();
  #lastRowId = 0;
  #lastChangeId = 0;

  constructor(database: EmbeddedDatabase, statement: DecodedStatement) {
    const { table, tail } = parseSubscriptionQuery(statement.sql, database.tables);
    const hidden = table.primaryKey.map((column, at) => `${quoteName(column)} AS __jiji_key_${at}`);
    this.#database = database;
    this.#table = table.name;
    this.#keyLength = hidden.length;
    this.#withKeys = { sql: `SELECT ${hidden.join(", ")}, ${tail}`, params: statement.params };
    this.#columns = database.columnsOfRows(this.#withKeys).slice(hidden.length);
    for (const found of database.readAll(this.#withKeys)) {
      this.#rows.set(...this.#entry(found, ++this.#lastRowId));
    }
  }

  shiftChangeIds(by: number): void {
    this.#lastChangeId = Math.max(0, this.#lastChangeId + by);
  }

  /** Looks the touched rows up, and gives a line for each that has changed. */
  *update(touched: TouchedRows): Generator<string> {
    for (const key of touched.get(this.#table) ?? []) {
      const before = this.#rows.get(encodeRow(key));
      const [found] = this.#find(key);
      if (found === undefined) {
        if (before === undefined) continue;
        this.#rows.delete(encodeRow(key));
        yield this.#line("delete", before.rowId, before.values);
        continue;
      }
      const [text, row] = this.#entry(found, before?.rowId ?? this.#lastRowId + 1);
      if (row.values === before?.values) continue;
      this.#lastRowId = Math.max(this.#lastRowId, row.rowId);
      this.#rows.set(text, row);
      yield this.#line(before === undefined ? "insert" : "update", row.rowId, row.values);
    }
  }

  /** The whole result as lines: columns, rows, end. The lines are of this moment, whenever they are read. */
  snapshot(): Iterator<string> {
    const rows = [...this.#rows.values()];
    const columns = this.#columns;
    const changeId = this.#lastChangeId;
    return (function* lines() {
      yield JSON.stringify({ columns });
      for (const { rowId, values } of rows) yield `{"row":[${rowId},${values}]}`;
      yield JSON.stringify({ eoq: { time: 0, change_id: changeId } });
    })();
  }

  #find(key: readonly BoundValue[]): readonly (readonly BoundValue[])[] {
    const { sql, params } = this.#withKeys;
    const isList = Array.isArray(params);
    const conditions = key.map((_, at) => `__jiji_key_${at} IS ${isList ? "?" : `:__jiji_key_${at}`}`);
    const named = Object.fromEntries(key.map((value, at) => [`:__jiji_key_${at}`, value]));
    return this.#database.readAll({
      sql: `SELECT * FROM (${sql}\n) WHERE ${conditions.join(" AND ")}`,
      params: isList
        ? [...(params as readonly BoundValue[]), ...key]
        : { ...(params as Readonly<Record<string, BoundValue>>), ...named },
    });
  }

  #entry(found: readonly BoundValue[], rowId: number) {
    const values = encodeRow(found.slice(this.#keyLength));
    return [encodeRow(found.slice(0, this.#keyLength)), { rowId, values }] as const;
  }

  #line(type: "insert" | "update" | "delete", rowId: number, values: string): string {
    return `{"change":["${type}",${rowId},${values},${++this.#lastChangeId}]}`;
  }
}

function encodeParams(params: DecodedStatement["params"]): string {
  return Object.entries(params)
    .map(([name, value]) => `${JSON.stringify(name)}:${encodeRow([value])}`)
    .join();
}
