import { parseOneStatement, SqlRefused, type SqlToken } from "../sql-text.ts";
import { decodeStatement, parseExactJson, type DecodedStatement } from "../wire.ts";

/** One statement with its values, or why there is none, for people. */
export type ParsedQuery =
  | { readonly ok: true; readonly statement: DecodedStatement }
  | { readonly ok: false; readonly why: string; readonly hint: string };

const VALUES = "values are null, true, false, numbers, strings, and lists of bytes (0 to 255) for a BLOB";

/**
 * Puts a person's SQL and the JSON of its values together. A list fills the places in their order; an object the names,
 * which may be written as in the statement (`:name`, `@name`, `$name`) or bare. Every name must have its value, and every
 * value its name; how many places there are is SQLite's to say. What the SQL means is not looked at.
 */
export function parseQuery(sql: string, paramsJson: string | undefined): ParsedQuery {
  let tokens: readonly SqlToken[];
  try {
    tokens = parseOneStatement(sql);
  } catch (error) {
    if (!(error instanceof SqlRefused)) throw error;
    return refused(`not one SQL statement: ${error.message}`, "give one statement, in quotes");
  }
  const names = new Set(tokens.filter(({ kind }) => kind === "parameter").map(({ text }) => text));
  if (paramsJson === undefined) {
    if (names.size === 0) return { ok: true, statement: { sql, params: [] } };
    return refused(`the statement has parameters (${[...names].join(", ")}) and no values`, "give them with --params");
  }
  const json = parseJson(paramsJson);
  if (json === undefined) {
    return refused("--params is not JSON", `for example --params '["web1", 3]' or --params '{"name": "web1"}'`);
  }
  if (typeof json !== "object" || json === null) {
    return refused("--params is neither a list nor an object", VALUES);
  }
  const params = Array.isArray(json) ? json : namedValues(json as Record<string, unknown>, names);
  if (typeof params === "string") return refused(params, `the statement's names: ${[...names].join(", ") || "none"}`);
  const statement = decodeStatement([sql, params]);
  return statement === undefined
    ? refused("--params has a value that SQL does not know", VALUES)
    : { ok: true, statement };
}

function refused(why: string, hint: string): ParsedQuery {
  return { ok: false, why, hint };
}

function parseJson(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

/** The values by the names that the statement has; a text says what is wrong. */
function namedValues(json: Readonly<Record<string, unknown>>, names: ReadonlySet<string>): object | string {
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(json)) {
    const fitting = [...names].filter((name) => name === key || name.slice(1) === key);
    const [name] = fitting;
    if (name === undefined) return `--params names ${key}, which the statement does not have`;
    if (fitting.length > 1) return `--params names ${key}, which may be ${fitting.join(" or ")}`;
    values[name] = value;
  }
  const missing = [...names].filter((name) => !(name in values));
  return missing.length === 0 ? values : `--params has no value for ${missing.join(", ")}`;
}
