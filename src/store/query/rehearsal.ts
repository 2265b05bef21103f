import { Database } from "bun:sqlite";
import { applySchema, quoteName, type TableShape } from "../embedded/embedded-schema.ts";
import { SCHEMA } from "../schema.ts";
import { parseOneStatement, refusedBy, SqlRefused } from "../sql-text.ts";
import { bindParameters, changingFunction, explain, requireRowChanges } from "./statement-program.ts";
import type { StoreFile } from "./store-file.ts";
import { encodeRow, type BoundValue, type DecodedStatement } from "../wire.ts";

/** One row that a statement makes, changes or removes; every value of the row by column, in the table's order. */
export interface RowDifference {
  readonly table: string;
  readonly columns: readonly string[];
  readonly before: readonly BoundValue[] | undefined;
  readonly after: readonly BoundValue[] | undefined;
}

export interface Rehearsal {
  readonly differences: readonly RowDifference[];
  /** as SQLite counts them: rows set to what they were already are among them */
  readonly rowsAffected: number;
  /** a function whose value will be another one when it is done in earnest; undefined: none */
  readonly changingFunction: string | undefined;
}

/**
 * Runs a statement that changes rows on plain copies of the store's tables in memory, and says what it did to them. The
 * file itself is only read. Throws {@link SqlRefused} for every statement that is not one INSERT, UPDATE, DELETE or REPLACE
 * of rows of these tables, by what SQLite says that it would do.
 */
export function rehearse(file: StoreFile, statement: DecodedStatement): Rehearsal {
  parseOneStatement(statement.sql);
  const memory = new Database(":memory:", { safeIntegers: true });
  try {
    memory.run("PRAGMA temp_store = MEMORY");
    const tables = applySchema(memory, SCHEMA);
    const before = new Map(tables.map((table) => [table.name, copyTable(file.database, memory, table)]));
    const { rowsAffected, changing } = runChecked(memory, statement);
    const differences = tables.flatMap((table) => diffTable(memory, table, before.get(table.name) ?? new Map()));
    return { differences, rowsAffected, changingFunction: changing };
  } finally {
    memory.close();
  }
}

function runChecked(
  memory: Database,
  statement: DecodedStatement,
): { readonly rowsAffected: number; readonly changing: string | undefined } {
  try {
    const prepared = memory.prepare(statement.sql);
    try {
      if (prepared.readonly) throw new SqlRefused("it changes no rows");
      const parameters = bindParameters(prepared, statement);
      const operations = explain(memory, statement.sql, parameters);
      requireRowChanges(operations, rootPagesOf(memory));
      if (prepared.columnNames.length > 0) throw new SqlRefused("leave RETURNING out: the store gives no rows back");
      const { changes } = prepared.run(...parameters);
      return { rowsAffected: changes, changing: changingFunction(operations) };
    } finally {
      prepared.finalize();
    }
  } catch (error) {
    throw refusedBy(error, false);
  }
}

/** The pages at which the tables and their indexes begin. */
function rootPagesOf(database: Database): ReadonlySet<number> {
  const rows = database.query("SELECT rootpage FROM sqlite_schema WHERE rootpage > 0").values() as unknown[][];
  return new Set(rows.map(([page]) => Number(page)));
}

type Rows = ReadonlyMap<string, readonly BoundValue[]>;

/** Fills a table of the copy with the file's rows and gives them, by their key as text. */
function copyTable(from: Database, to: Database, table: TableShape): Rows {
  const columns = table.stored.map(quoteName).join(", ");
  const places = table.stored.map(() => "?").join(", ");
  const insert = to.prepare(`INSERT INTO ${quoteName(table.name)} (${columns}) VALUES (${places})`);
  const rows = readTable(from, table);
  to.transaction(() => {
    for (const row of rows.values()) insert.run(...(row as string[]));
  })();
  insert.finalize();
  return rows;
}

function readTable(database: Database, table: TableShape): Rows {
  const columns = table.stored.map(quoteName).join(", ");
  const rows = database.query(`SELECT ${columns} FROM ${quoteName(table.name)}`).values() as (readonly BoundValue[])[];
  const places = table.primaryKey.map((column) => table.stored.indexOf(column));
  return new Map(rows.map((row) => [encodeRow(places.map((place) => row[place] ?? null)), row]));
}

function diffTable(memory: Database, table: TableShape, before: Rows): readonly RowDifference[] {
  const after = readTable(memory, table);
  const { name, stored: columns } = table;
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((key): readonly RowDifference[] => {
    const [was, is] = [before.get(key), after.get(key)];
    if (was !== undefined && is !== undefined && encodeRow(was) === encodeRow(is)) return [];
    return [{ table: name, columns, before: was, after: is }];
  });
}
