import type { SQLQueryBindings, Statement as Prepared } from "bun:sqlite";
import { SqlRefused } from "./sql-refused.ts";
import { parseOneStatement } from "../sql-text.ts";
import type { DecodedStatement } from "../wire.ts";

/**
 * The values as SQLite's binding takes them, checked, since a missing value would silently be NULL: as many as the
 * statement has parameters, or names that it has.
 */
export function bindParameters(prepared: Prepared, statement: DecodedStatement): SQLQueryBindings[] {
  const { params } = statement;
  if (!Array.isArray(params)) {
    const parsed = parseOneStatement(statement.sql);
    const names = new Set(parsed.ok ? parsed.tokens.map((token) => token.text) : []);
    const wrong = Object.keys(params).find((name) => !/^[:@$?]/.test(name) || !names.has(name));
    if (wrong !== undefined) throw new SqlRefused(`Invalid parameter name: ${wrong}`, false);
    return [params as Record<string, SQLQueryBindings & (string | number)>];
  }
  const needed = prepared.paramsCount;
  if (params.length !== needed) {
    const why = `Wrong number of parameters passed to query. Got ${params.length}, needed ${needed}`;
    throw new SqlRefused(why, false);
  }
  return params as SQLQueryBindings[];
}
