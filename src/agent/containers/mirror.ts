import { encodeContainerRecord, parseContainerRecord, type ContainerRecord } from "../../model/container-record.ts";
import type { ServerId } from "../../model/keys.ts";
import { isUsableRev } from "../../model/revision.ts";
import type { SqlValue, Statement } from "../../store/store.ts";
import type { PublishedContainer } from "./publish.ts";

/** One of this server's rows: its text as the store holds it, and what that says if it is a record. */
export interface OwnRow {
  /** empty where a container was */
  readonly text: string;
  readonly record: ContainerRecord | undefined;
}

/** This server's rows by n. */
export type OwnRows = ReadonlyMap<number, OwnRow>;

/** One row that has to change, or to be emptied: then it has no record, and its text is empty. */
export interface RowChange extends OwnRow {
  readonly n: number;
  /** the record's, and that of its end when it is emptied */
  readonly rev: number;
  /** what the row says now, if it is there and is a record */
  readonly previous: ContainerRecord | undefined;
}

/** The largest usable `rev` among the rows, or 0. */
export function largestRev(rows: OwnRows, nowMs: number): number {
  let largest = 0;
  for (const { record } of rows.values()) {
    const rev = record?.rev ?? 0;
    if (isUsableRev(rev, nowMs)) largest = Math.max(largest, rev);
  }
  return largest;
}

/**
 * What to write so that the rows say what the engine's containers publish. Pure: equal input gives equal output, and
 * with its own output applied it gives nothing. A container keeps its n for life; a new one gets the lowest number that
 * no other row holds, so that keys are used again and the store's bookkeeping of keys stays small. Revs are
 * given in the order of the result, starting at `firstRev`.
 */
export function planMirror(
  published: readonly PublishedContainer[],
  rows: OwnRows,
  firstRev: number,
  nowMs: number,
): readonly RowChange[] {
  const held = holders(rows);
  const wanted = new Map<number, PublishedContainer>();
  const newcomers: PublishedContainer[] = [];
  for (const container of published) {
    const n = held.get(container.containerId);
    if (n === undefined) newcomers.push(container);
    else wanted.set(n, container);
  }
  let free = 0;
  for (const container of newcomers.toSorted((a, b) => (a.containerId < b.containerId ? -1 : 1))) {
    while (wanted.has(free)) free++;
    wanted.set(free, container);
  }
  const changes: RowChange[] = [];
  let rev = firstRev;
  for (const n of [...new Set([...rows.keys(), ...wanted.keys()])].toSorted((a, b) => a - b)) {
    const row = rows.get(n);
    const previous = row?.record;
    const container = wanted.get(n);
    if (container === undefined) {
      if (row?.text !== "") changes.push({ n, rev: rev++, record: undefined, text: "", previous });
    } else if (
      previous === undefined ||
      !isUsableRev(previous.rev, nowMs) ||
      row?.text !== encodeContainerRecord({ ...container, rev: previous.rev })
    ) {
      const record = { ...container, rev: rev++ };
      changes.push({ n, rev: record.rev, record, text: encodeContainerRecord(record), previous });
    }
  }
  return changes;
}

/** container id → n. Of two rows for one container the lower stays; a row that is no record holds nothing. */
function holders(rows: OwnRows): ReadonlyMap<string, number> {
  const held = new Map<string, number>();
  for (const [n, { record }] of [...rows].toSorted(([a], [b]) => a - b)) {
    const id = record?.containerId;
    if (id !== undefined && !held.has(id)) held.set(id, n);
  }
  return held;
}

const UPSERT =
  "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?) " +
  "ON CONFLICT (server_id, n) DO UPDATE SET record = excluded.record";
const EMPTY = "UPDATE containers SET record = '' WHERE server_id = ? AND n = ?";

/**
 * The changes as statements. Each names the own server: this agent can write no other's row. A row is emptied and not
 * deleted, since its key is used again: a store that learns of a deleted and re-inserted key from a third store may keep
 * the column's default for ever (docs/corrosion.md).
 */
export function encodeRowChanges(self: ServerId, changes: readonly RowChange[]): readonly Statement[] {
  return changes.map(({ n, text }) =>
    text === "" ? { sql: EMPTY, params: [self, n] } : { sql: UPSERT, params: [self, n, text] },
  );
}

/** The rows after the changes. */
export function applyRowChanges(rows: OwnRows, changes: readonly RowChange[]): OwnRows {
  return new Map([...rows, ...changes.map(({ n, text, record }) => [n, { text, record }] as const)]);
}

/** Keys above this were never given: a server has 253 addresses. */
const LARGEST_N = 4095;

/** No record that this agent writes is longer. */
const MAX_RECORD_BYTES = 16_384;

/**
 * Reads the own rows; the answer of this statement is what {@link parseOwnRows} takes. Rows that somebody else made
 * under this server's id may be of any size and number, and must not keep the own ones from being read.
 */
export function selectOwnRows(self: ServerId): Statement {
  const record = `CASE WHEN octet_length(record) <= ${MAX_RECORD_BYTES} THEN record ELSE 'too long' END`;
  return {
    sql: `SELECT n, ${record} FROM containers WHERE server_id = ? AND typeof(n) = 'integer' AND n BETWEEN 0 AND ${LARGEST_N}`,
    params: [self],
  };
}

/** Removes rows under the own id that no agent of jiji can have written. */
export function deleteForeignKeys(self: ServerId): Statement {
  return {
    sql: `DELETE FROM containers WHERE server_id = ? AND NOT (typeof(n) = 'integer' AND n BETWEEN 0 AND ${LARGEST_N})`,
    params: [self],
  };
}

/** What to subscribe to in order to see that somebody else wrote one of the own rows. */
export function watchOwnRows(self: ServerId): Statement {
  return {
    sql: `SELECT server_id, n, record FROM containers WHERE server_id = ? AND octet_length(record) <= ${MAX_RECORD_BYTES}`,
    params: [self],
  };
}

/** Throws a TypeError when the answer is not the statement's. */
export function parseOwnRows(rows: readonly (readonly SqlValue[])[]): OwnRows {
  return new Map(
    rows.map(([n, text]) => {
      if (typeof n !== "number" || typeof text !== "string") throw new TypeError("a container row has a bad shape");
      return [n, { text, record: parseContainerRecord(text) }];
    }),
  );
}
