import type { QueryValue } from "../../model/node/query.ts";
import { showJsonText, showText } from "../../model/shown-text.ts";
import type { Colors } from "../output.ts";

/** Prints rows as they arrive. Each call gives the text to print, without a final newline, or nothing. */
export interface RowFormat {
  head(columns: readonly string[]): string | undefined;
  rows(rows: readonly (readonly QueryValue[])[]): string | undefined;
  /** the end of the answer; `error`: why it broke off */
  end(count: number, error?: BrokenOff): string | undefined;
}

export interface BrokenOff {
  readonly message: string;
  readonly hint: string | null;
  readonly server: string | null;
  readonly exitCode: number;
}

/** The first rows decide the column widths: this many are held back before any is printed. */
const MEASURED_ROWS = 100;

/** A wider cell does not make its column wider. */
const WIDEST = 60;

/**
 * Columns under a head line. The first hundred rows decide the widths, so the rest can be printed as it arrives. A wider
 * cell shifts the rest of its line. NULL is dim, a BLOB is `x'…'`.
 */
export function tableFormat(colors: Colors): RowFormat {
  let columns: readonly string[] = [];
  let widths: readonly number[] | undefined;
  let held: (readonly QueryValue[])[] = [];
  const line = (cells: readonly string[], plain: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const gap = (widths?.[index] ?? 0) - displayWidth(plain[index] ?? "");
        return index === cells.length - 1 ? cell : cell + " ".repeat(Math.max(0, gap));
      })
      .join("  ")
      .trimEnd();
  const show = (row: readonly QueryValue[]): string => {
    const plain = row.map(cellText);
    return line(
      plain.map((text, index) => (row[index] === null ? colors.dim(text) : text)),
      plain,
    );
  };
  const flush = (): string => {
    const lines = held.map((row) => row.map(cellText));
    widths = columns.map((name, index) => {
      const cells = lines.map((cells) => displayWidth(cells[index] ?? ""));
      return Math.max(displayWidth(showText(name)), ...cells.map((width) => Math.min(width, WIDEST)));
    });
    const names = columns.map(showText);
    const text = [line(names.map(colors.bold), names), ...held.map(show)].join("\n");
    held = [];
    return text;
  };
  return {
    head: (names) => {
      columns = names;
      return undefined;
    },
    rows: (rows) => {
      if (widths !== undefined) return rows.map(show).join("\n");
      held.push(...rows);
      return held.length >= MEASURED_ROWS ? flush() : undefined;
    },
    end: () => (widths === undefined && columns.length > 0 ? flush() : undefined),
  };
}

function cellText(value: QueryValue): string {
  if (value === null) return "NULL";
  if (Array.isArray(value)) return `x'${Buffer.from(value).toString("hex")}'`;
  return showText(String(value));
}

/** Columns of a terminal; good enough for names and records, wide characters count as two. */
function displayWidth(text: string): number {
  return Bun.stringWidth(text);
}

/**
 * RFC 4180, with lines that end in \n. NULL is nothing, an empty text is `""`, a BLOB is hexadecimal. Control characters
 * are escaped for a terminal only.
 */
export function csvFormat(isTerminal: boolean): RowFormat {
  const text = (value: string): string => (isTerminal ? showText(value) : value);
  const field = (value: QueryValue): string => {
    if (value === null) return "";
    if (Array.isArray(value)) return Buffer.from(value).toString("hex");
    if (typeof value !== "string") return String(value);
    const shown = text(value);
    return shown === "" || /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
  };
  return {
    head: (columns) => columns.map(field).join(","),
    rows: (rows) => rows.map((row) => row.map(field).join(",")).join("\n"),
    end: () => undefined,
  };
}

/**
 * One JSON value, printed row by row: `{server, columns, rows: [[…], …], rowCount, ok, exitCode}`, and `error` when the
 * answer ended early, so it is valid JSON in every case. Integers are exact, a BLOB is `{"hex": "…"}`.
 */
export function jsonFormat(server: string): RowFormat {
  let isFirst = true;
  return {
    head: (columns) => `{"server": ${jsonText(server)}, "columns": ${jsonText(columns)}, "rows": [`,
    rows: (rows) => {
      const text = rows.map((row) => `${isFirst ? ((isFirst = false), "  ") : ", "}[${row.map(jsonValue).join(", ")}]`);
      return text.join("\n");
    },
    end: (count, error) => {
      if (error === undefined) return `], ${jsonText({ rowCount: count, ok: true, exitCode: 0 }).slice(1)}`;
      const { exitCode, ...said } = error;
      return `], ${jsonText({ rowCount: count, ok: false, exitCode, error: said }).slice(1)}`;
    },
  };
}

function jsonText(value: unknown): string {
  return showJsonText(JSON.stringify(value));
}

/** A value of an answer as JSON. */
export function jsonValue(value: QueryValue): string {
  if (typeof value === "bigint") return value.toString();
  return jsonText(Array.isArray(value) ? { hex: Buffer.from(value).toString("hex") } : value);
}
