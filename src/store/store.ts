/** A value that the store holds or takes as a parameter. Integers beyond 2^53 are kept as text. */
export type SqlValue = null | number | string | boolean | Uint8Array;

/** What a statement may be given: integers beyond 2^53 as BigInts. */
export type SqlParameter = SqlValue | bigint;

/** One statement with its parameters; values never become part of the text. */
export interface Statement {
  readonly sql: string;
  readonly params?: readonly SqlParameter[] | Readonly<Record<string, SqlParameter>>;
}

export type Row = readonly SqlValue[];

export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

export interface TransactionResult {
  readonly results: readonly { readonly rowsAffected: number }[];
  /** the store's version after it; null when nothing changed */
  readonly version: number | null;
}

/**
 * A result that is read while it comes, so that its size does not matter. Iterating throws a {@link StoreError} when
 * the answer ends before its end mark; leaving the loop early closes it.
 */
export interface QueryStream extends AsyncIterable<Row> {
  readonly columns: readonly string[];
  close(): void;
}

/** What a subscription says, in this order: snapshot rows, `ready`, then changes for ever. */
export type SubscriptionEvent =
  | { readonly type: "columns"; readonly columns: readonly string[] }
  | { readonly type: "row"; readonly rowId: number; readonly values: Row }
  | { readonly type: "ready"; readonly changeId: number | null }
  | {
      readonly type: "change";
      readonly change: "insert" | "update" | "delete";
      readonly rowId: number;
      readonly values: Row;
      readonly changeId: number;
    };

/**
 * A subscription that is under way. Iterating ends (normally) when the stream ends for whatever reason, and throws a
 * {@link StoreError} when the store said why; the caller subscribes again, from the start.
 */
export interface Subscription extends AsyncIterable<SubscriptionEvent> {
  /** the store's name for it, `corro-query-id` */
  readonly id: string;
  close(): void;
}

/** The one client for Corrosion and the embedded store (HTTP/1.1, NDJSON). */
export interface StoreClient {
  /** All or nothing. Throws {@link StoreError}. */
  transact(statements: readonly Statement[], options?: { signal?: AbortSignal }): Promise<TransactionResult>;
  /**
   * One read-only statement, whole. Throws {@link StoreError}, also when the answer ends before its end mark or takes
   * longer than `timeoutSeconds` (default 60; 0 is no limit).
   */
  query(statement: Statement, options?: { signal?: AbortSignal; timeoutSeconds?: number }): Promise<QueryResult>;
  /** The same, row by row. Resolves when the columns are known. Throws {@link StoreError}. */
  stream(statement: Statement, options?: { signal?: AbortSignal; timeoutSeconds?: number }): Promise<QueryStream>;
  /** Resolves when the head of the answer has come. Throws {@link StoreError}. */
  subscribe(statement: Statement, options?: { signal?: AbortSignal }): Promise<Subscription>;
  close(): void;
}

/** The store could not be reached, refused, or broke off. `status` is the HTTP status when there was one. */
export class StoreError extends Error {
  readonly status: number | undefined;

  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreError";
    this.status = status;
  }
}
