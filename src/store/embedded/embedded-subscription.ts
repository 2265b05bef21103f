import { randomUUID, createHash } from "node:crypto";
import type { EmbeddedDatabase, TouchedRows } from "./embedded-database.ts";
import { quoteName } from "./embedded-schema.ts";
import { SqlRefused } from "../query/sql-refused.ts";
import { parseSubscriptionQuery, type QuerySource } from "../subscription-query.ts";
import { encodeRow, type BoundValue, type DecodedStatement } from "../wire.ts";

/** One row of a subscription's result, as JSON text. */
interface ResultRow {
  readonly rowId: number;
  readonly values: string;
}

/** A `change` line and its number. */
export interface ChangeLine {
  readonly id: number;
  readonly line: string;
}

/** Everything of a subscription that must outlive a restart. */
export interface SavedSubscription {
  readonly id: string;
  readonly statement: DecodedStatement;
  readonly lastRowId: number;
  readonly lastChangeId: number;
  readonly rows: readonly (readonly [key: string, rowId: number, values: string])[];
  readonly changes: readonly ChangeLine[];
}

/** Changes kept for those who resume: at least this many, and at most twice as many. */
const KEPT_CHANGES = 500;

/** How the rows of a statement are found: all of them, or those of given primary keys. */
interface RowFinder {
  readonly columns: readonly string[];
  /** the statement with all its values in it: equal texts are one subscription */
  readonly text: string;
  /** tables whose changes matter */
  readonly tables: ReadonlySet<string>;
  findAll(): readonly (readonly BoundValue[])[];
  /** absent when only looking at all rows tells what changed */
  readonly findByKey: ((key: readonly BoundValue[]) => readonly (readonly BoundValue[])[]) | undefined;
  /** how many values at the front of a found row are its primary keys */
  readonly keyLength: number;
}

/**
 * Makes the statements that follow a query. The primary keys of its tables become hidden columns in front, which tell
 * rows apart; for one table without a subquery, a changed row can then be looked up alone. Throws {@link SqlRefused}.
 */
export function findRows(database: EmbeddedDatabase, statement: DecodedStatement): RowFinder {
  const inspected = database.inspect(statement);
  const parsed = parseSubscriptionQuery(statement.sql);
  if (!parsed.ok) throw new SqlRefused(parsed.why);
  const { sources, head, tail, names, nested } = parsed.query;
  for (const table of [...sources.map((source) => source.table), ...inspected.tablesRead]) {
    if (shapeOf(database, table) === undefined) throw new SqlRefused(`table not found in schema: ${table}`);
  }
  for (const { table } of sources) {
    const others = shapeOf(database, table)?.others ?? [];
    if (!names.has("*") && !others.some((column) => names.has(column.toLowerCase())))
      throw new SqlRefused(onlyKeys(table));
  }
  const keys = sources.flatMap((source) => keyColumns(database, source));
  const hidden = keys.map((column, index) => `${column} AS __jiji_key_${index}`).join(", ");
  const all = { sql: `${head} ${hidden}, ${tail}`, params: statement.params };
  // Refused now, at the request, when the hidden columns do not fit the statement.
  if (database.inspect(all).aggregates) throw new SqlRefused("unsupported statement: aggregates");
  const byKey = sources.length === 1 && !nested ? keyLookup(database, all, keys.length) : undefined;
  return {
    columns: inspected.columns,
    text: inspected.expanded,
    tables: new Set([...sources.map((source) => shapeOf(database, source.table)?.name ?? ""), ...inspected.tablesRead]),
    findAll: () => database.readAll(all),
    findByKey: byKey,
    keyLength: keys.length,
  };
}

/** Corrosion takes such a statement, and then never tells of an inserted row; so nobody may come to rely on it here. */
function onlyKeys(table: string): string {
  return `unsupported statement: it names no column of ${table} but its key`;
}

/** SQLite's names of tables know no case. */
function shapeOf(database: EmbeddedDatabase, table: string) {
  return database.tables.get(table) ?? database.tables.get(table.toLowerCase());
}

function keyColumns(database: EmbeddedDatabase, source: QuerySource): readonly string[] {
  const shape = shapeOf(database, source.table);
  return (shape?.primaryKey ?? []).map((column) => `${source.reference}.${quoteName(column)}`);
}

function keyLookup(
  database: EmbeddedDatabase,
  all: DecodedStatement,
  keyLength: number,
): (key: readonly BoundValue[]) => readonly (readonly BoundValue[])[] {
  const named = !Array.isArray(all.params);
  const before = named ? database.parameterCount(all) : (all.params as readonly BoundValue[]).length;
  const numbers = Array.from({ length: keyLength }, (_, index) => before + index + 1);
  const conditions = numbers.map((number, index) => `__jiji_key_${index} IS ?${number}`);
  const sql = `SELECT * FROM (${all.sql}\n) WHERE ${conditions.join(" AND ")}`;
  return (key) => {
    if (!named) return database.readAll({ sql, params: [...(all.params as readonly BoundValue[]), ...key] });
    const numbered = Object.fromEntries(numbers.map((number, index) => [`?${number}`, key[index] ?? null]));
    return database.readAll({ sql, params: { ...(all.params as Record<string, BoundValue>), ...numbered } });
  };
}

/** A query that is followed: its result as last told, and the latest changes. It knows nothing of listeners. */
export class FollowedQuery {
  readonly id: string;
  readonly statement: DecodedStatement;
  readonly finder: RowFinder;
  /** 16 hex digits, the same for the same statement */
  readonly hash: string;
  #rows = new Map<string, ResultRow>();
  #changes: ChangeLine[] = [];
  #lastRowId = 0;
  #lastChangeId = 0;

  private constructor(id: string, statement: DecodedStatement, finder: RowFinder) {
    this.id = id;
    this.statement = statement;
    this.finder = finder;
    this.hash = createHash("sha256").update(finder.text).digest("hex").slice(0, 16);
  }

  /** Looks at the query for the first time. */
  static begin(statement: DecodedStatement, finder: RowFinder): FollowedQuery {
    const query = new FollowedQuery(randomUUID(), statement, finder);
    for (const found of finder.findAll()) {
      const { key, values } = query.#split(found);
      query.#rows.set(key, { rowId: ++query.#lastRowId, values });
    }
    return query;
  }

  /** Goes on with a saved one; what has changed since becomes changes. */
  static resume(saved: SavedSubscription, finder: RowFinder): FollowedQuery {
    const query = new FollowedQuery(saved.id, saved.statement, finder);
    query.#rows = new Map(saved.rows.map(([key, rowId, values]) => [key, { rowId, values }]));
    query.#changes = [...saved.changes];
    query.#lastRowId = saved.lastRowId;
    query.#lastChangeId = saved.lastChangeId;
    query.#compareAll();
    return query;
  }

  save(): SavedSubscription {
    return {
      id: this.id,
      statement: this.statement,
      lastRowId: this.#lastRowId,
      lastChangeId: this.#lastChangeId,
      rows: [...this.#rows].map(([key, { rowId, values }]) => [key, rowId, values]),
      changes: this.#changes,
    };
  }

  get lastChangeId(): number {
    return this.#lastChangeId;
  }

  shiftChangeIds(by: number): void {
    this.#lastChangeId = Math.max(0, this.#lastChangeId + by);
  }

  /** Compares with the database where it was touched; returns the changes, in order. */
  update(touched: TouchedRows): readonly ChangeLine[] {
    const { tables, findByKey } = this.finder;
    const mine = [...touched].filter(([table]) => tables.has(table));
    if (mine.length === 0) return [];
    if (findByKey === undefined) return this.#compareAll();
    const keys = new Map(mine.flatMap(([, rows]) => rows).map((key) => [encodeRow(key), key]));
    const found = [...keys.values()].flatMap((key) => findByKey(key).map((row) => this.#split(row)));
    return this.#compare(found, [...keys.keys()]);
  }

  /** The whole result as lines: columns, rows, end. The lines are of this moment, whenever they are read. */
  snapshot(): Iterator<string> {
    const rows = [...this.#rows.values()];
    const { columns } = this.finder;
    const changeId = this.#lastChangeId;
    return (function* lines() {
      yield JSON.stringify({ columns });
      for (const { rowId, values } of rows) yield `{"row":[${rowId},${values}]}`;
      yield JSON.stringify({ eoq: { time: 0, change_id: changeId } });
    })();
  }

  /** The lines of all changes after an id; undefined when the older ones are gone, with the oldest id that is kept. */
  changesSince(id: number): { readonly lines: readonly string[] } | { readonly oldest: number } {
    const oldest = this.#changes[0]?.id ?? 0;
    if (id + 1 < oldest) return { oldest };
    return { lines: this.#changes.filter((change) => change.id > id).map((change) => change.line) };
  }

  #split(found: readonly BoundValue[]): { key: string; values: string } {
    const { keyLength } = this.finder;
    return { key: encodeRow(found.slice(0, keyLength)), values: encodeRow(found.slice(keyLength)) };
  }

  #compareAll(): readonly ChangeLine[] {
    const found = this.finder.findAll().map((row) => this.#split(row));
    return this.#compare(found, [...this.#rows.keys()]);
  }

  /** `found` is what there is now of everything that could differ, `known` the keys of which it may be missing. */
  #compare(
    found: readonly { readonly key: string; readonly values: string }[],
    known: readonly string[],
  ): readonly ChangeLine[] {
    const changes: ChangeLine[] = [];
    const present = new Set<string>();
    for (const { key, values } of found) {
      present.add(key);
      const before = this.#rows.get(key);
      if (before?.values === values) continue;
      const rowId = before?.rowId ?? ++this.#lastRowId;
      this.#rows.set(key, { rowId, values });
      changes.push(this.#note(before === undefined ? "insert" : "update", rowId, values));
    }
    for (const key of known) {
      const before = this.#rows.get(key);
      if (before === undefined || present.has(key)) continue;
      this.#rows.delete(key);
      changes.push(this.#note("delete", before.rowId, before.values));
    }
    return changes;
  }

  #note(type: "insert" | "update" | "delete", rowId: number, values: string): ChangeLine {
    const id = ++this.#lastChangeId;
    const change = { id, line: `{"change":["${type}",${rowId},${values},${id}]}` };
    this.#changes.push(change);
    if (this.#changes.length > 2 * KEPT_CHANGES) this.#changes = this.#changes.slice(-KEPT_CHANGES);
    return change;
  }
}
