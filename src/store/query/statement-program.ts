import type { Database, SQLQueryBindings } from "bun:sqlite";
import { SqlRefused, wordsOf } from "./sql-refused.ts";

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
    throw new SqlRefused(wordsOf(error));
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
