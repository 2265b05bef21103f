import { z } from "zod";
import { JijiError } from "../model/errors.ts";
import { queryRequestSchema, type QueryEvent } from "../model/query-protocol.ts";
import { parseQuery } from "../store/query/query-parameters.ts";
import { readFigures } from "../store/query/read-figures.ts";
import { rehearse, type RowDifference } from "../store/query/rehearsal.ts";
import { SqlRefused } from "../store/query/sql-refused.ts";
import { StoreFile, StoreFileAway, WritesRefused } from "../store/query/store-file.ts";
import { encodeRow, type BoundValue, type DecodedStatement } from "../store/wire.ts";
import { reportFailure, type Out } from "./out.ts";
import { parseRequest } from "./requests.ts";

/** What the unprivileged reader is told: the file, and what is wanted of it. */
export const readerRequestSchema = z.object({ path: z.string(), request: queryRequestSchema });

/** Rows travel in lines of about this size. */
const LINE_CHARS = 32 * 1024;

/** A line ends before the megabyte at which the other side gives up. */
const MAX_ROW_CHARS = 900_000;

/** Changes that are shown one by one; the rest is counted. */
const MAX_CHANGES = 1000;

/**
 * `jiji node store-reader`: reads one database file for `jiji node query`, as a user that may do nothing else. One request
 * on standard input, {@link QueryEvent} lines out through `write`, which may hold it up for as long as nobody reads.
 */
export function runStoreReader(input: string, write: (line: string) => void): number {
  const out: Out = (event) => write(JSON.stringify(event));
  try {
    const { path, request } = parseRequest(readerRequestSchema, input);
    const file = new StoreFile(path);
    try {
      if (request.mode === "write") throw new Error("a reader does not write");
      if (request.mode === "figures") {
        out({ type: "figures", figures: readFigures(file.database) });
        return 0;
      }
      const statement = statementOf(request.sql, request.params);
      if (request.mode === "read") sendRows(file, statement, write);
      else sendRehearsal(file, statement, write);
    } finally {
      file.close();
    }
    return 0;
  } catch (error) {
    if (error instanceof StoreFileAway) {
      out({ type: "away", why: error.message, hint: "" } satisfies QueryEvent);
      return 0;
    }
    return reportFailure(error instanceof SqlRefused ? refusal(error) : error, out);
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
  write(JSON.stringify({ type: "columns", columns } satisfies QueryEvent));
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
  write(JSON.stringify({ type: "end", rows: count } satisfies QueryEvent));
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
  const end: QueryEvent = {
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
