import { Database, type SQLQueryBindings, type Statement as Prepared } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { applySchema, INTERNAL_PREFIX, quoteName, type TableShape } from "./embedded-schema.ts";
import { bindParameters, explain, isLooking, isPragma } from "../query/statement-program.ts";
import { isKeyword, parseOneStatement, refusedBy, SqlRefused } from "../sql-text.ts";
import { encodeRow, type BoundValue, type DecodedStatement } from "../wire.ts";

/** The primary keys of the rows that a transaction touched, by table; each key in key order. */
export type TouchedRows = ReadonlyMap<string, readonly (readonly BoundValue[])[]>;

/** A transaction that is done. */
export interface Committed {
  readonly results: readonly { readonly rowsAffected: number; readonly seconds: number }[];
  /** null when no value changed */
  readonly version: number | null;
  readonly touched: TouchedRows;
}

/** A reading statement under way: its columns, and each row as JSON when it is asked for. */
export interface OpenQuery {
  readonly columns: readonly string[];
  readonly rows: Iterator<string>;
}

/** The temporary table that notes which rows of a table a transaction touched. */
function notesOf(table: string): string {
  return `${INTERNAL_PREFIX}touched_${table}`;
}

/** Statements kept prepared; the API's users send few texts. */
const MAX_PREPARED = 100;

/**
 * The database of the embedded store. One connection writes, another one reads; the file belongs to this process alone,
 * but other processes may read it.
 */
export class EmbeddedDatabase {
  readonly tables: ReadonlyMap<string, TableShape>;
  /** 32 hex digits, made once per file */
  readonly actorId: string;
  readonly #writer: Database;
  readonly #reader: Database;
  readonly #prepared = new Map<string, Prepared>();
  #version: number;

  constructor(path: string, schema: string) {
    this.#writer = new Database(path, { safeIntegers: true, create: true, readwrite: true });
    this.#writer.run("PRAGMA journal_mode = WAL");
    this.#writer.run("PRAGMA synchronous = NORMAL");
    this.#writer.run("PRAGMA busy_timeout = 5000");
    this.tables = new Map(applySchema(this.#writer, schema).map((table) => [table.name, table]));
    this.#writer.run(`CREATE TABLE IF NOT EXISTS ${INTERNAL_PREFIX}state (key TEXT PRIMARY KEY, value)`);
    this.#writer.run(`INSERT OR IGNORE INTO ${INTERNAL_PREFIX}state VALUES ('version', 0)`);
    this.#writer
      .query(`INSERT OR IGNORE INTO ${INTERNAL_PREFIX}state VALUES ('actor', ?)`)
      .run(randomBytes(16).toString("hex"));
    this.#version = Number(this.#readState("version"));
    this.actorId = String(this.#readState("actor"));
    for (const table of this.tables.values()) this.#watch(table);
    this.#reader = new Database(path, { safeIntegers: true, readonly: true });
    this.#reader.run("PRAGMA query_only = 1");
  }

  /**
   * Runs the statements in one IMMEDIATE transaction, all or nothing. Only statements that change rows are taken, so
   * neither the schema nor the connection can be changed, and no other file attached. `isOver` is asked before each
   * statement. Throws {@link SqlRefused}.
   */
  transact(statements: readonly DecodedStatement[], isOver: () => boolean = () => false): Committed {
    this.#writer.run("BEGIN IMMEDIATE");
    try {
      const results = statements.map((statement) => {
        if (isOver()) throw new SqlRefused("interrupted", false);
        return this.#execute(statement);
      });
      const touched = this.#takeTouched();
      const version = touched.size === 0 ? null : this.#version + 1;
      if (version !== null) this.#writeVersion(version);
      this.#writer.run("COMMIT");
      this.#version = version ?? this.#version;
      return { results, version, touched };
    } catch (error) {
      if (this.#writer.inTransaction) this.#writer.run("ROLLBACK");
      throw refusedBy(error, false);
    }
  }

  /** Prepares a reading statement; its rows run while they are asked for. Throws {@link SqlRefused}. */
  query(statement: DecodedStatement): OpenQuery {
    const tokens = parseOneStatement(statement.sql);
    const [first] = tokens;
    // A PRAGMA may act while it is prepared, on the connection that all share.
    if (isPragma(tokens) && !isLooking(tokens)) throw new SqlRefused("statement is not readonly");
    const prepared = this.#prepare(this.#reader, statement.sql);
    // EXPLAIN counts as what it explains, but runs nothing.
    if (!prepared.readonly && !isKeyword(first, "EXPLAIN")) throw new SqlRefused("statement is not readonly");
    if (!isLooking(tokens)) throw new SqlRefused(`not allowed here: ${first?.text.toUpperCase()}`);
    const parameters = bindParameters(prepared, statement);
    const columns = prepared.columnNames;
    return { columns, rows: readRows(prepared, columns, parameters) };
  }

  /** All rows of a statement of the store's own making, as values. Throws {@link SqlRefused}. */
  readAll(statement: DecodedStatement): readonly (readonly BoundValue[])[] {
    const prepared = this.#cached(this.#reader, statement.sql);
    try {
      return prepared.values(...bindParameters(prepared, statement));
    } catch (error) {
      throw refusedBy(error);
    }
  }

  /** The columns of a SELECT. Throws {@link SqlRefused} when it aggregates, so that its rows are not rows of a table. */
  columnsOfRows(statement: DecodedStatement): readonly string[] {
    const prepared = this.#prepare(this.#reader, statement.sql);
    try {
      const program = explain(this.#reader, statement.sql, bindParameters(prepared, statement));
      if (program.some(({ code }) => code.startsWith("Agg"))) throw new SqlRefused("unsupported statement: aggregates");
      return prepared.columnNames;
    } finally {
      prepared.finalize();
    }
  }

  close(): void {
    for (const prepared of this.#prepared.values()) prepared.finalize();
    this.#prepared.clear();
    this.#reader.close();
    this.#writer.run("PRAGMA wal_checkpoint(TRUNCATE)");
    this.#writer.close();
  }

  #execute(statement: DecodedStatement): { rowsAffected: number; seconds: number } {
    const started = performance.now();
    const key = `write:${statement.sql}`;
    if (!this.#prepared.has(key)) {
      const [first] = parseOneStatement(statement.sql, false);
      if (statement.sql.toLowerCase().includes(INTERNAL_PREFIX)) {
        throw new SqlRefused(`not allowed here: ${INTERNAL_PREFIX}`, false);
      }
      const prepared = this.#prepare(this.#writer, statement.sql, false);
      if (prepared.reader) throw new SqlRefused("Execute returned results - did you mean to call query?", false);
      if (!isKeyword(first, "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH")) {
        throw new SqlRefused(`not allowed here: ${first?.text.toUpperCase()}`, false);
      }
    }
    const prepared = this.#cached(this.#writer, statement.sql);
    const { changes } = prepared.run(...bindParameters(prepared, statement));
    return { rowsAffected: changes, seconds: (performance.now() - started) / 1000 };
  }

  #prepare(database: Database, sql: string, early = true): Prepared {
    try {
      return database.prepare(sql);
    } catch (error) {
      throw refusedBy(error, early);
    }
  }

  #cached(database: Database, sql: string): Prepared {
    const key = `${database === this.#writer ? "write" : "read"}:${sql}`;
    const known = this.#prepared.get(key);
    if (known !== undefined) return known;
    const [oldest] = this.#prepared.entries();
    if (this.#prepared.size >= MAX_PREPARED && oldest !== undefined) {
      this.#prepared.delete(oldest[0]);
      oldest[1].finalize();
    }
    const prepared = this.#prepare(database, sql);
    this.#prepared.set(key, prepared);
    return prepared;
  }

  #readState(key: string): unknown {
    return this.#writer
      .query<{ value: unknown }, [string]>(`SELECT value FROM ${INTERNAL_PREFIX}state WHERE key = ?`)
      .get(key)?.value;
  }

  #writeVersion(version: number): void {
    this.#cached(this.#writer, `UPDATE ${INTERNAL_PREFIX}state SET value = ? WHERE key = 'version'`).run(version);
  }

  /**
   * Triggers of this connection note the key of each row whose stored values change; an UPDATE to equal values is no
   * change. They are temporary, so the file holds nothing of them.
   */
  #watch(table: TableShape): void {
    const notes = `temp.${quoteName(notesOf(table.name))}`;
    const keys = (row: "NEW" | "OLD"): string => table.primaryKey.map((column) => `${row}.${quoteName(column)}`).join();
    const changed = table.stored.map((column) => `OLD.${quoteName(column)} IS NOT NEW.${quoteName(column)}`);
    const note = (row: "NEW" | "OLD"): string => `INSERT INTO ${quoteName(notesOf(table.name))} VALUES (${keys(row)});`;
    const trigger = (when: string, body: string): void => {
      const name = quoteName(`${notesOf(table.name)}_${when.toLowerCase()}`);
      const condition = when === "UPDATE" ? ` WHEN ${changed.join(" OR ")}` : "";
      this.#writer.run(
        `CREATE TEMP TRIGGER ${name} AFTER ${when} ON main.${quoteName(table.name)}${condition} BEGIN ${body} END`,
      );
    };
    this.#writer.run(`CREATE TABLE ${notes} (${table.primaryKey.map(quoteName).join()})`);
    trigger("INSERT", note("NEW"));
    trigger("UPDATE", note("OLD") + note("NEW"));
    trigger("DELETE", note("OLD"));
  }

  #takeTouched(): TouchedRows {
    const touched = new Map<string, readonly (readonly BoundValue[])[]>();
    for (const { name } of this.tables.values()) {
      const notes = `temp.${quoteName(notesOf(name))}`;
      const rows = this.#cached(this.#writer, `SELECT DISTINCT * FROM ${notes}`).values() as BoundValue[][];
      if (rows.length === 0) continue;
      touched.set(name, rows);
      this.#cached(this.#writer, `DELETE FROM ${notes}`).run();
    }
    return touched;
  }
}

function* readRows(
  prepared: Prepared,
  columns: readonly string[],
  parameters: readonly SQLQueryBindings[],
): Generator<string> {
  try {
    // Row by row come objects, which can hold each name once only.
    const distinct = new Set(columns).size === columns.length && !columns.includes("__proto__");
    if (distinct) {
      for (const row of prepared.iterate(...parameters) as Iterable<Record<string, BoundValue>>) {
        yield encodeRow(columns.map((column) => row[column] ?? null));
      }
    } else {
      for (const row of prepared.values(...parameters) as BoundValue[][]) yield encodeRow(row);
    }
  } catch (error) {
    throw refusedBy(error, false);
  } finally {
    prepared.finalize();
  }
}
