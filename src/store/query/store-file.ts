import { Database, type SQLQueryBindings } from "bun:sqlite";
import { messageOf } from "../../model/errors.ts";
import { isKeyword, parseOneStatement, refusedBy, SqlRefused } from "../sql-text.ts";
import { bindParameters, explain, isLooking, isPragma, requireReading } from "./statement-program.ts";
import type { BoundValue, DecodedStatement } from "../wire.ts";

/** The file cannot be opened or read now. The words are SQLite's. */
export class StoreFileAway extends Error {
  constructor(why: string, options?: ErrorOptions) {
    super(why, options);
    this.name = "StoreFileAway";
  }
}

/** A reading statement under way. */
export interface OpenReading {
  readonly columns: readonly string[];
  /** made while they are asked for; throws {@link SqlRefused} when SQLite breaks off */
  readonly rows: Iterable<readonly BoundValue[]>;
}

/** Pages that one connection keeps; a reader needs no more, and a large answer must not fill the memory. */
const CACHE_KIB = 16 * 1024;

/**
 * A store's database file, opened read-only beside the store that writes it. Meant for a process of its own and one
 * statement: SQLite cannot be interrupted from here, so whoever wants an end to it ends the process.
 */
export class StoreFile {
  readonly database: Database;

  /** Opens it and reads from it once. Throws {@link StoreFileAway}. */
  constructor(path: string) {
    try {
      this.database = new Database(path, { readonly: true, safeIntegers: true });
    } catch (cause) {
      throw new StoreFileAway(messageOf(cause), { cause });
    }
    try {
      for (const setting of ["query_only = 1", "temp_store = MEMORY", "trusted_schema = 0", "busy_timeout = 5000"]) {
        this.database.run(`PRAGMA ${setting}`);
      }
      this.database.run(`PRAGMA cache_size = ${-CACHE_KIB}`);
      this.database.query("SELECT count(*) FROM sqlite_schema").values();
    } catch (cause) {
      this.database.close();
      throw new StoreFileAway(messageOf(cause), { cause });
    }
  }

  /**
   * Prepares one statement that reads, and does nothing else: no second statement, no PRAGMA that sets something, no other
   * file. Throws {@link SqlRefused}.
   */
  read(statement: DecodedStatement): OpenReading {
    const tokens = parseOneStatement(statement.sql);
    if (isPragma(tokens) && !isLooking(tokens)) {
      throw new SqlRefused("only PRAGMAs that look are taken, such as table_info, and none that sets something");
    }
    const prepared = this.#prepare(statement.sql);
    const { readonly } = prepared;
    const columns = prepared.columnNames;
    prepared.finalize();
    const isExplain = isKeyword(tokens[0], "EXPLAIN");
    if (!readonly && !isExplain) throw new WritesRefused();
    if (!isLooking(tokens)) throw new SqlRefused(`${tokens[0]?.text.toUpperCase()} is not taken here`);
    const parameters = this.#parameters(statement);
    if (!isExplain) requireReading(explain(this.database, statement.sql, parameters));
    return { columns, rows: this.#rows(statement.sql, columns, parameters) };
  }

  close(): void {
    this.database.close();
  }

  #prepare(sql: string): ReturnType<Database["prepare"]> {
    try {
      return this.database.prepare(sql);
    } catch (error) {
      throw refusedBy(error);
    }
  }

  #parameters(statement: DecodedStatement): SQLQueryBindings[] {
    const prepared = this.#prepare(statement.sql);
    try {
      return bindParameters(prepared, statement);
    } finally {
      prepared.finalize();
    }
  }

  *#rows(sql: string, columns: readonly string[], parameters: readonly SQLQueryBindings[]): Generator<BoundValue[]> {
    // Row by row come objects, which hold each name once only; as a subquery every column has a name of its own.
    const isDistinct = new Set(columns).size === columns.length && !columns.includes("__proto__");
    const prepared = this.#prepare(isDistinct ? sql : `SELECT * FROM (${withoutEnd(sql)}\n)`);
    try {
      const names = prepared.columnNames;
      for (const row of prepared.iterate(...parameters) as Iterable<Record<string, BoundValue>>) {
        yield names.map((name) => row[name] ?? null);
      }
    } catch (error) {
      throw refusedBy(error, false);
    } finally {
      prepared.finalize();
    }
  }
}

/** A statement that would change something was given for reading. */
export class WritesRefused extends SqlRefused {
  constructor() {
    super("the statement changes something, and this only reads");
  }
}

/** The one statement of a text, without its semicolon and what follows it. */
function withoutEnd(sql: string): string {
  return sql.slice(0, parseOneStatement(sql).at(-1)?.end);
}
