import type { Database, SQLQueryBindings, Statement as Prepared } from "bun:sqlite";
import { isKeyword, refusedBy, SqlRefused, tokenizeSql, type SqlToken } from "../sql-text.ts";
import type { DecodedStatement } from "../wire.ts";

/**
 * The values as SQLite's binding takes them, checked, since a missing value would silently be NULL: as many as the
 * statement has parameters, or names that it has.
 */
export function bindParameters(prepared: Prepared, statement: DecodedStatement): SQLQueryBindings[] {
  const { params } = statement;
  if (!Array.isArray(params)) {
    const names = new Set(tokenizeSql(statement.sql).map((token) => token.text));
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

/** PRAGMAs that only look, and so cannot change a connection that others use after this statement. */
const LOOKING_PRAGMAS = new Set(
  (
    "table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list database_list page_count " +
    "page_size freelist_count data_version compile_options function_list pragma_list collation_list encoding " +
    "integrity_check quick_check"
  ).split(" "),
);

/** What an EXPLAIN explains; any other statement as it is. */
function explained(tokens: readonly SqlToken[]): readonly SqlToken[] {
  if (!isKeyword(tokens[0], "EXPLAIN")) return tokens;
  return tokens.slice(isKeyword(tokens[1], "QUERY") ? 3 : 1);
}

/** Whether it is a PRAGMA, or the EXPLAIN of one: either may act while it is prepared, so ask before that. */
export function isPragma(tokens: readonly SqlToken[]): boolean {
  return isKeyword(explained(tokens)[0], "PRAGMA");
}

/**
 * Whether a statement begins as one that only looks: SELECT, VALUES, WITH, a PRAGMA that only looks, or the EXPLAIN of
 * anything but another PRAGMA. What a WITH comes to is left to SQLite's own word (`readonly`).
 */
export function isLooking(tokens: readonly SqlToken[]): boolean {
  const rest = explained(tokens);
  if (!isKeyword(rest[0], "PRAGMA")) return rest !== tokens || isKeyword(rest[0], "SELECT", "VALUES", "WITH");
  return LOOKING_PRAGMAS.has(rest[1]?.text.toLowerCase() ?? "");
}

/** One instruction of the program that SQLite makes of a statement (sqlite.org/opcode.html). */
interface Operation {
  readonly code: string;
  readonly p1: number;
  readonly p2: number;
  readonly p3: number;
  readonly p4: string;
}

/**
 * What a statement would do, as SQLite itself says: EXPLAIN makes the program and does not run it. The text must have been
 * found to be one statement. Throws {@link SqlRefused} for what SQLite does not understand.
 */
export function explain(database: Database, sql: string, parameters: readonly SQLQueryBindings[]): Operation[] {
  try {
    const prepared = database.prepare(`EXPLAIN ${sql}`);
    try {
      const rows = prepared.values(...(parameters as SQLQueryBindings[])) as (bigint | number | string | null)[][];
      return rows.map(([, code, p1, p2, p3, p4]) => ({
        code: String(code),
        p1: Number(p1),
        p2: Number(p2),
        p3: Number(p3),
        p4: String(p4 ?? ""),
      }));
    } finally {
      prepared.finalize();
    }
  } catch (error) {
    throw refusedBy(error);
  }
}

/** Instructions that change a schema, a file as a whole, or the connection. */
const ACTING = new Set(
  (
    "AutoCommit Savepoint Vacuum IncrVacuum JournalMode Checkpoint SetCookie CreateBtree Destroy DropTable DropIndex " +
    "DropTrigger ParseSchema LoadAnalysis SqlExec VCreate VDestroy VUpdate VRename"
  ).split(" "),
);

/** Instructions that begin to change the rows of a table or the entries of an index. */
const WRITING = new Set(["OpenWrite", "Clear"]);

/** Functions that reach beyond the tables. */
const REACHING = /^(sqlite_(attach|detach|rename|drop|add|fail)|load_extension|fts3_tokenizer|readfile|writefile|edit)/;

function actsBeyond(operations: readonly Operation[]): string | undefined {
  const acting = operations.find(({ code }) => ACTING.has(code));
  if (acting !== undefined) return acting.code;
  return operations.find(({ code, p4 }) => isFunction(code) && REACHING.test(p4))?.p4;
}

function isFunction(code: string): boolean {
  return code === "Function" || code === "PureFunc";
}

/** Throws {@link SqlRefused} when the program does anything but read. */
export function requireReading(operations: readonly Operation[]): void {
  const beyond = actsBeyond(operations) ?? operations.find(({ code }) => WRITING.has(code))?.code;
  if (beyond !== undefined) throw new SqlRefused(`it does more than read (SQLite says: ${beyond})`);
}

/**
 * Throws {@link SqlRefused} unless the program writes, and writes rows of these tables only: their pages in the main
 * database, by root page. A schema statement shows itself by writing another page (that of the schema itself), by an
 * instruction of its own, or by writing nothing at all.
 */
export function requireRowChanges(operations: readonly Operation[], rootPages: ReadonlySet<number>): void {
  const beyond = actsBeyond(operations);
  if (beyond !== undefined) throw new SqlRefused(`it changes more than rows (SQLite says: ${beyond})`);
  const sites = operations.filter(({ code }) => WRITING.has(code)).map(siteOf);
  if (sites.length === 0) throw new SqlRefused("it changes no rows");
  if (!sites.every(({ database, page }) => database === 0 && rootPages.has(page))) {
    throw new SqlRefused("it changes something other than the rows of the store's tables");
  }
}

/** OpenWrite has the root page in P2 and the database in P3, Clear (a DELETE of all rows) in P1 and P2. */
function siteOf({ code, p1, p2, p3 }: Operation): { readonly database: number; readonly page: number } {
  return code === "Clear" ? { database: p2, page: p1 } : { database: p3, page: p2 };
}

/** Functions whose value is another one each time, or on each connection. */
const CHANGING =
  /^(random|randomblob|(current_)?(date|time)|current_timestamp|datetime|julianday|unixepoch|strftime|timediff|(total_)?changes|last_insert_rowid)\(/;

/** The first function of the program that does not give the same value again, as `name(…)`; undefined: none. */
export function changingFunction(operations: readonly Operation[]): string | undefined {
  return operations.find(({ code, p4 }) => isFunction(code) && CHANGING.test(p4))?.p4;
}
