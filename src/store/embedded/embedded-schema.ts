import type { Database } from "bun:sqlite";
import { Database as OpenDatabase } from "bun:sqlite";

/** A table of the schema as the embedded store needs to know it. */
export interface TableShape {
  readonly name: string;
  /** in key order */
  readonly primaryKey: readonly string[];
  /** every column that is stored, so not the generated ones */
  readonly stored: readonly string[];
  /** every column that is not part of the key, generated ones too */
  readonly others: readonly string[];
}

/** The store's own tables begin with this; the API does not show them as part of the schema. */
export const INTERNAL_PREFIX = "__jiji_";

/** A name as SQL, whatever it contains. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * Gives a database the tables and indexes of the schema's text. A table that has another definition (an earlier
 * release's) is made anew with the rows it had, column by column as far as both have them.
 */
export function applySchema(database: Database, schema: string): readonly TableShape[] {
  const wanted = new OpenDatabase(":memory:");
  try {
    wanted.run(schema);
    const objects = readObjects(wanted);
    database.run("BEGIN IMMEDIATE");
    try {
      const present = new Map(readObjects(database).map((object) => [object.name, object.sql]));
      for (const { type, name, sql } of objects) {
        if (present.get(name) === sql) continue;
        if (type === "index") database.run(`DROP INDEX IF EXISTS ${quoteName(name)}`);
        else if (present.has(name)) setAside(database, name);
        database.run(sql);
        if (type === "table" && present.has(name)) takeBack(database, name);
      }
      database.run("COMMIT");
    } catch (error) {
      database.run("ROLLBACK");
      throw error;
    }
    return objects.filter((object) => object.type === "table").map((object) => readShape(wanted, object.name));
  } finally {
    wanted.close();
  }
}

interface SchemaObject {
  readonly type: "table" | "index";
  readonly name: string;
  readonly sql: string;
}

/** Tables first, so that every index finds its table. */
function readObjects(database: Database): readonly SchemaObject[] {
  return database
    .query<SchemaObject, []>(
      "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type = 'index', rowid",
    )
    .all();
}

const ASIDE = `${INTERNAL_PREFIX}earlier`;

function setAside(database: Database, table: string): void {
  // Its indexes would keep their names, which the new table's need.
  const indexes = database
    .query<{ name: string }, [string]>(
      "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?",
    )
    .all(table);
  for (const { name } of indexes) database.run(`DROP INDEX ${quoteName(name)}`);
  database.run(`ALTER TABLE ${quoteName(table)} RENAME TO ${quoteName(ASIDE)}`);
}

function takeBack(database: Database, table: string): void {
  const had = new Set(readShape(database, ASIDE).stored);
  const columns = readShape(database, table).stored.filter((column) => had.has(column));
  const list = columns.map(quoteName).join(", ");
  if (columns.length > 0) {
    database.run(`INSERT OR IGNORE INTO ${quoteName(table)} (${list}) SELECT ${list} FROM ${quoteName(ASIDE)}`);
  }
  database.run(`DROP TABLE ${quoteName(ASIDE)}`);
}

function readShape(database: Database, table: string): TableShape {
  const columns = database
    .query<{ name: string; pk: number | bigint; hidden: number | bigint }, [string]>(
      "SELECT name, pk, hidden FROM pragma_table_xinfo(?)",
    )
    .all(table);
  const key = columns.filter((column) => Number(column.pk) > 0).sort((a, b) => Number(a.pk) - Number(b.pk));
  return {
    name: table,
    primaryKey: key.map((column) => column.name),
    stored: columns.filter((column) => Number(column.hidden) === 0).map((column) => column.name),
    others: columns.filter((column) => Number(column.pk) === 0).map((column) => column.name),
  };
}
