import { StoreError, type Row, type SqlParameter, type SqlValue, type Statement } from "./store.ts";

/**
 * Values and statements as they travel (Corrosion's HTTP API): BLOBs are arrays of byte numbers in both directions, and
 * a statement is its text alone, `[text, [values]]` or `[text, {":name": value}]`.
 */

/** One statement as JSON. Throws a {@link StoreError} for a number that JSON does not have (NaN, infinity). */
export function encodeStatement(statement: Statement): string {
  const sql = JSON.stringify(statement.sql);
  const { params } = statement;
  if (params === undefined) return sql;
  if (isList(params)) return `[${sql},[${params.map(encodeParameter).join(",")}]]`;
  const named = Object.entries(params).map(([name, value]) => `${JSON.stringify(name)}:${encodeParameter(value)}`);
  return `[${sql},{${named.join(",")}}]`;
}

function isList(params: NonNullable<Statement["params"]>): params is readonly SqlParameter[] {
  return Array.isArray(params);
}

function encodeParameter(value: SqlParameter): string {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return `[${value.join(",")}]`;
  if (typeof value === "number" && !Number.isFinite(value)) throw new StoreError(`not a number for SQL: ${value}`);
  return JSON.stringify(value);
}

/** A value as the server of a statement sees it: integers that a number cannot hold are BigInts. */
export type BoundValue = null | number | bigint | string | boolean | Uint8Array;

/** A statement that came over the wire. */
export interface DecodedStatement {
  readonly sql: string;
  readonly params: readonly BoundValue[] | Readonly<Record<string, BoundValue>>;
}

/** Reads a statement in any of the four shapes that Corrosion takes; undefined for anything else. */
export function decodeStatement(json: unknown): DecodedStatement | undefined {
  if (typeof json === "string") return { sql: json, params: [] };
  if (Array.isArray(json)) {
    const [sql, params, ...rest] = json as readonly unknown[];
    if (typeof sql !== "string" || json.length !== 2 || rest.length > 0) return undefined;
    return decodeWithParams(
      sql,
      Array.isArray(params) ? params : undefined,
      Array.isArray(params) ? undefined : params,
    );
  }
  if (!isObject(json) || typeof json["query"] !== "string") return undefined;
  const list = json["params"] ?? undefined;
  if (list !== undefined && !Array.isArray(list)) return undefined;
  return decodeWithParams(json["query"], list, json["named_params"] ?? undefined);
}

function decodeWithParams(
  sql: string,
  list: readonly unknown[] | undefined,
  named: unknown,
): DecodedStatement | undefined {
  if (list !== undefined) {
    const params = list.map(decodeParameter);
    return params.every((value) => value !== undefined) ? { sql, params } : undefined;
  }
  if (named === undefined) return { sql, params: [] };
  if (!isObject(named)) return undefined;
  const params: Record<string, BoundValue> = Object.create(null) as Record<string, BoundValue>;
  for (const [name, json] of Object.entries(named)) {
    const value = decodeParameter(json);
    if (value === undefined) return undefined;
    params[name] = value;
  }
  return { sql, params };
}

function isObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function decodeParameter(json: unknown): BoundValue | undefined {
  if (Array.isArray(json)) return decodeBlob(json);
  if (json === null) return null;
  switch (typeof json) {
    case "string":
    case "number":
    case "boolean":
    case "bigint":
      return json;
    default:
      return undefined;
  }
}

function decodeBlob(numbers: readonly unknown[]): Uint8Array | undefined {
  const isByte = (n: unknown): n is number => typeof n === "number" && Number.isInteger(n) && n >= 0 && n <= 255;
  return numbers.every(isByte) ? Uint8Array.from(numbers) : undefined;
}

/** A row of the server's as JSON: integers exact, BLOBs as byte numbers, REALs always with a point or exponent. */
export function encodeRow(values: readonly BoundValue[]): string {
  return `[${values.map(encodeValue).join(",")}]`;
}

function encodeValue(value: BoundValue): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return `[${value.join(",")}]`;
  // A number is a REAL here; JSON has no infinity, and `1` would be read as an INTEGER.
  if (typeof value === "number" && Number.isFinite(value)) {
    const text = String(value);
    return /^-?[0-9]+$/.test(text) ? `${text}.0` : text;
  }
  return typeof value === "boolean" ? String(Number(value)) : "null";
}

/** The values of a row as a client sees them; undefined when it is no row. */
export function decodeRow(json: unknown): Row | undefined {
  if (!Array.isArray(json)) return undefined;
  const row: SqlValue[] = [];
  for (const value of json as readonly unknown[]) {
    const decoded = decodeParameter(value);
    if (decoded === undefined) return undefined;
    row.push(typeof decoded === "bigint" ? decoded.toString() : decoded);
  }
  return row;
}

/** An integer of 16 digits or more may be beyond 2^53; texts match too, which only costs time. */
const LONG_INTEGER = /[0-9]{16}/;

/** `JSON.parse`, but integers that a number cannot hold become BigInts. Throws a SyntaxError. */
export function parseExactJson(text: string): unknown {
  return LONG_INTEGER.test(text) ? (JSON.parse(text, exactInteger) as unknown) : (JSON.parse(text) as unknown);
}

function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || context?.source === undefined) return value;
  return /^-?[0-9]+$/.test(context.source) ? BigInt(context.source) : value;
}
