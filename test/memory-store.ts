import { Database } from "bun:sqlite";
import { SCHEMA } from "../src/store/schema.ts";
import {
  StoreError,
  type QueryResult,
  type QueryStream,
  type Row,
  type SqlValue,
  type Statement,
  type StoreClient,
  type Subscription,
  type SubscriptionEvent,
  type TransactionResult,
} from "../src/store/store.ts";

/** A store in memory behind the client's interface, without HTTP and without delays; its faults are switched by hand. */
export class MemoryStore implements StoreClient {
  readonly database = new Database(":memory:");
  /** every statement that changed something */
  readonly writes: Statement[] = [];
  /** while true every call fails, and open subscriptions have ended */
  #isAway = false;
  readonly #listeners = new Set<MemorySubscription>();

  constructor() {
    this.database.exec(SCHEMA);
  }

  setAway(isAway: boolean): void {
    this.#isAway = isAway;
    if (isAway) for (const listener of [...this.#listeners]) listener.close();
  }

  /** Deletes everything, as if the store's files had been removed and it had been started again. */
  wipe(): void {
    this.setAway(true);
    for (const table of ["servers", "removed_servers", "containers"]) this.database.exec(`DELETE FROM ${table}`);
    this.setAway(false);
  }

  /** What somebody else does to the store. */
  change(sql: string, params: readonly SqlValue[] = []): void {
    this.database.query(sql).run(...(params as string[]));
    for (const listener of this.#listeners) listener.refresh();
  }

  rows(sql: string, params: readonly SqlValue[] = []): Row[] {
    return this.database.query(sql).values(...(params as string[])) as Row[];
  }

  async transact(statements: readonly Statement[]): Promise<TransactionResult> {
    this.#assertThere();
    const results = this.database.transaction(() =>
      statements.map((statement) => {
        const { changes } = this.database.query(statement.sql).run(...(statement.params as string[]));
        if (changes > 0) this.writes.push(statement);
        return { rowsAffected: changes };
      }),
    )();
    for (const listener of this.#listeners) listener.refresh();
    return { results, version: results.some(({ rowsAffected }) => rowsAffected > 0) ? this.writes.length : null };
  }

  async query(statement: Statement): Promise<QueryResult> {
    this.#assertThere();
    return { columns: [], rows: this.rows(statement.sql, statement.params as readonly SqlValue[]) };
  }

  stream(): Promise<QueryStream> {
    return Promise.reject(new StoreError("the memory store has no streams"));
  }

  async subscribe(statement: Statement): Promise<Subscription> {
    this.#assertThere();
    const read = (): Row[] => this.rows(statement.sql, (statement.params ?? []) as readonly SqlValue[]);
    const subscription = new MemorySubscription(read, () => this.#listeners.delete(subscription));
    this.#listeners.add(subscription);
    return subscription;
  }

  close(): void {
    for (const listener of [...this.#listeners]) listener.close();
  }

  #assertThere(): void {
    if (this.#isAway) throw new StoreError("connection refused");
  }
}

class MemorySubscription implements Subscription {
  readonly id = "memory";
  readonly #read: () => Row[];
  readonly #onClose: () => void;
  readonly #waiting: SubscriptionEvent[] = [];
  /** text of a row → its id; rows are told apart by all their values, so an update is a delete and an insert */
  readonly #known = new Map<string, number>();
  #nextRowId = 1;
  #changeId = 0;
  #isClosed = false;
  #wake = (): void => {};

  constructor(read: () => Row[], onClose: () => void) {
    this.#read = read;
    this.#onClose = onClose;
    for (const values of read()) this.#waiting.push({ type: "row", rowId: this.#remember(values), values });
    this.#waiting.push({ type: "ready", changeId: 0 });
  }

  #remember(values: Row): number {
    const rowId = this.#nextRowId++;
    this.#known.set(JSON.stringify(values), rowId);
    return rowId;
  }

  refresh(): void {
    const rows = this.#read();
    const texts = new Set(rows.map((values) => JSON.stringify(values)));
    for (const [text, rowId] of this.#known) {
      if (texts.has(text)) continue;
      this.#known.delete(text);
      const values = JSON.parse(text) as Row;
      this.#waiting.push({ type: "change", change: "delete", rowId, values, changeId: ++this.#changeId });
    }
    for (const values of rows) {
      if (this.#known.has(JSON.stringify(values))) continue;
      const rowId = this.#remember(values);
      this.#waiting.push({ type: "change", change: "insert", rowId, values, changeId: ++this.#changeId });
    }
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SubscriptionEvent> {
    while (!this.#isClosed) {
      const next = this.#waiting.shift();
      if (next === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else yield next;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#onClose();
    this.#wake();
  }
}
