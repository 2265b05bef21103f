import { JijiError } from "../model/errors.ts";
import type { ReaderEvent } from "../model/node/store-reader.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { parseQuery } from "../store/query/query-parameters.ts";
import { readFigures } from "../store/query/read-figures.ts";
import { rehearse, type RowDifference } from "../store/query/rehearsal.ts";
import { SqlRefused } from "../store/sql-text.ts";
import { StoreFile, StoreFileAway, WritesRefused } from "../store/query/store-file.ts";
import { encodeRow, type BoundValue, type DecodedStatement } from "../store/wire.ts";
import type { Call } from "./call.ts";

/** Rows travel in lines of about this size. */
const LINE_CHARS = 32 * 1024;

/** The other side refuses lines of more than a megabyte. */
const MAX_ROW_CHARS = 900_000;

/** At most so many changes are shown one by one; the rest is only counted. */
const MAX_CHANGES = 1000;

/**
 * `jiji node store-reader`: reads one database file for `jiji node query`, as a user who may do nothing else. It waits while
 * nobody reads its output.
 */
export function runStoreReader(
  { path, request }: CheckedRequestOf<"store-reader">,
  { passOnNow }: Pick<Call<"store-reader">, "passOnNow">,
): void {
  const say = (event: ReaderEvent): void => passOnNow(JSON.stringify(event));
  try {
    const file = new StoreFile(path);
    try {
      if (request.mode === "write") throw new Error("a reader does not write");
      if (request.mode === "figures") return say({ type: "figures", figures: readFigures(file.database) });
      const statement = statementOf(request.sql, request.params);
      if (request.mode === "read") sendRows(file, statement, passOnNow);
      else sendRehearsal(file, statement, passOnNow);
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof StoreFileAway) return say({ type: "away", why: error.message, hint: "" });
    throw error instanceof SqlRefused ? refusal(error) : error;
  }
}

function statementOf(sql: string, params: string | null): DecodedStatement {
  const parsed = parseQuery(sql, params ?? undefined);
  if (!parsed.ok) throw new JijiError("usage", parsed.why, { hint: parsed.hint });
  return parsed.statement;
}

function refusal(error: SqlRefused): JijiError {
  if (error instanceof WritesRefused) {
    return new JijiError("usage", error.message, { hint: "--write shows what it would change, and asks" });
  }
  if (error.message === "out of memory") {
    return new JijiError("remote", "the statement needs more memory than it may have", {
      hint: "ask for less at a time: LIMIT, fewer columns, no sorting of large values",
    });
  }
  const hint = "db query \"SELECT name, sql FROM sqlite_schema WHERE type = 'table'\" shows the tables";
  return new JijiError("usage", `the statement was refused: ${error.message}`, { hint });
}

function sendRows(file: StoreFile, statement: DecodedStatement, write: (line: string) => void): void {
  const { columns, rows } = file.read(statement);
  write(JSON.stringify({ type: "columns", columns } satisfies ReaderEvent));
  let texts: string[] = [];
  let chars = 0;
  let count = 0;
  const flush = (): void => {
    if (texts.length > 0) write(`{"type":"rows","rows":[${texts.join(",")}]}`);
    texts = [];
    chars = 0;
  };
  for (const row of rows) {
    count += 1;
    const text = encodeBounded(row, `row ${count}`);
    texts.push(text);
    chars += text.length;
    if (chars >= LINE_CHARS) flush();
  }
  flush();
  write(JSON.stringify({ type: "end", rows: count } satisfies ReaderEvent));
}

function encodeBounded(row: readonly BoundValue[], what: string): string {
  const text = encodeRow(row);
  if (Buffer.byteLength(text) <= MAX_ROW_CHARS) return text;
  throw new JijiError("usage", `${what} is larger than ${MAX_ROW_CHARS / 1000} kB`, {
    hint: "ask for parts of the large value: substr(record, 1, 1000)",
  });
}

function sendRehearsal(file: StoreFile, statement: DecodedStatement, write: (line: string) => void): void {
  const { differences, rowsAffected, changingFunction } = rehearse(file, statement);
  for (const difference of differences.slice(0, MAX_CHANGES)) write(changeLine(difference));
  const end: ReaderEvent = {
    type: "rehearsed",
    differences: differences.length,
    rowsAffected,
    changingFunction: changingFunction ?? null,
  };
  write(JSON.stringify(end));
}

function changeLine({ table, columns, before, after }: RowDifference): string {
  const side = (row: readonly BoundValue[] | undefined): string =>
    row === undefined ? "null" : encodeBounded(row, `a row of ${table}`);
  const head = JSON.stringify({ type: "change", table, columns });
  return `${head.slice(0, -1)},"before":${side(before)},"after":${side(after)}}`;
}
