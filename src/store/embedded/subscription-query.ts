import { isKeyword, parseOneStatement, SqlRefused } from "../sql-text.ts";
import type { TableShape } from "./embedded-schema.ts";

/** A SELECT that a subscription can follow. */
export interface SubscriptionQuery {
  readonly table: TableShape;
  /** what follows the word SELECT */
  readonly tail: string;
}

/** Words by which other rows than the one that is looked at decide what the result has. */
const OTHER_ROWS = ["SELECT", "DISTINCT", "OVER", "GROUP", "HAVING", "LIMIT", "UNION", "INTERSECT", "EXCEPT"];

/**
 * Takes one SELECT over one table, with any WHERE and expressions, whose rows can each be found by the table's key: so a
 * change costs one look at one row. Throws {@link SqlRefused} for everything else.
 */
export function parseSubscriptionQuery(sql: string, tables: ReadonlyMap<string, TableShape>): SubscriptionQuery {
  const [select, ...tokens] = parseOneStatement(sql);
  if (!isKeyword(select, "SELECT")) throw unsupported("it is no SELECT");
  const other = tokens.find((token) => isKeyword(token, ...OTHER_ROWS));
  if (other !== undefined) throw unsupported(other.text.toUpperCase());
  if (tokens.some((token, at) => isKeyword(token, "IN") && tokens[at + 1]?.text !== "("))
    throw unsupported("IN a table");
  const from = tokens.findIndex((token) => isKeyword(token, "FROM"));
  const [name, next] = from < 0 ? [] : tokens.slice(from + 1);
  if (name === undefined || (next !== undefined && !isKeyword(next, "WHERE"))) throw unsupported("not FROM one table");
  const table = tables.get(name.text.toLowerCase());
  if (table === undefined) throw new SqlRefused(`table not found in schema: ${name.text}`);
  // Corrosion takes such a statement and then never tells of an inserted row, so nobody may come to rely on it here.
  const names = new Set(tokens.map(({ text }) => text.toLowerCase()));
  if (!names.has("*") && !table.others.some((column) => names.has(column))) {
    throw unsupported(`it names no column of ${table.name} but its key`);
  }
  return { table, tail: sql.slice(select?.end, tokens.at(-1)?.end) };
}

function unsupported(what: string): SqlRefused {
  return new SqlRefused(`unsupported statement: ${what}`);
}
