import type { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import type { StoreFigures } from "../../model/store-figures.ts";
import { quoteName } from "../embedded/embedded-schema.ts";
import { encodeRow, type BoundValue } from "../wire.ts";

/**
 * The product's tables, the columns that make a row what it is, and which rows count: an empty record of a container is
 * a place for the next one.
 */
const TABLES = [
  { name: "servers", columns: ["id", "record", "sig"], counted: "TRUE" },
  { name: "removed_servers", columns: ["id", "record"], counted: "TRUE" },
  { name: "containers", columns: ["server_id", "n", "record"], counted: "record <> ''" },
] as const;

/** Of servers, owners and versions so many are listed; a mesh has at most 255 servers. */
const LISTED = 1000;

const DIGEST_CHARS = 16;

/**
 * Counts and compares what a store's file holds, in one snapshot. Corrosion's internal tables are read only where they look
 * as they are known to (releases 0.1.4 of the fork and 1.0.0): where they do not, there is no `clock` and no `replication`.
 */
export function readFigures(database: Database): StoreFigures {
  database.run("BEGIN");
  try {
    const sizes = readSizes(database);
    const owners = readOwned(database, "containers", "server_id");
    const servers = readOwned(database, "servers", "id");
    const removed = readOwned(database, "removed_servers", undefined)[0];
    const replication = readReplication(database);
    const lists = [owners, servers, replication?.versions ?? []];
    return {
      tables: TABLES.map((table) => readTable(database, table, sizes)),
      pages: readPages(database),
      owners: owners.slice(0, LISTED),
      servers: servers.slice(0, LISTED),
      removed: removed ?? { id: "", rows: 0, digest: "" },
      unlisted: lists.reduce((sum, { length }) => sum + Math.max(0, length - LISTED), 0),
      replication: replication && { ...replication, versions: replication.versions.slice(0, LISTED) },
    };
  } finally {
    database.run("COMMIT");
  }
}

function values(database: Database, sql: string, ...parameters: readonly string[]): readonly (readonly BoundValue[])[] {
  return database.query(sql).values(...parameters);
}

function numberOf(database: Database, sql: string): number {
  return Number(values(database, sql)[0]?.[0] ?? 0);
}

/** Table or index → bytes of its pages, by SQLite's own account. */
function readSizes(database: Database): ReadonlyMap<string, number> {
  const rows = values(database, "SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE");
  return new Map(rows.map(([name, bytes]) => [String(name), Number(bytes)]));
}

function readPages(database: Database): StoreFigures["pages"] {
  const pageBytes = numberOf(database, "PRAGMA page_size");
  return {
    bytes: numberOf(database, "PRAGMA page_count") * pageBytes,
    freeBytes: numberOf(database, "PRAGMA freelist_count") * pageBytes,
  };
}

function readTable(
  database: Database,
  { name, columns, counted }: (typeof TABLES)[number],
  sizes: ReadonlyMap<string, number>,
): StoreFigures["tables"][number] {
  if (!hasColumns(database, name, columns)) return { name, rows: 0, bytes: 0, clock: null };
  const [clock, keys] = [`${name}__crsql_clock`, `${name}__crsql_pks`];
  const isReplicated = hasColumns(database, clock, ["db_version"]) && hasColumns(database, keys, []);
  return {
    name,
    rows: numberOf(database, `SELECT count(*) FROM ${quoteName(name)} WHERE ${counted}`),
    bytes: bytesOf(database, name, sizes),
    clock: isReplicated
      ? {
          rows: numberOf(database, `SELECT count(*) FROM ${quoteName(clock)}`),
          keys: numberOf(database, `SELECT count(*) FROM ${quoteName(keys)}`),
          bytes: bytesOf(database, clock, sizes) + bytesOf(database, keys, sizes),
        }
      : null,
  };
}

/** A table with all its indexes. */
function bytesOf(database: Database, table: string, sizes: ReadonlyMap<string, number>): number {
  const names = values(database, "SELECT name FROM sqlite_schema WHERE tbl_name = ?", table);
  return names.reduce((sum, [name]) => sum + (sizes.get(String(name)) ?? 0), 0);
}

/** Whether there is such a table with these columns. */
function hasColumns(database: Database, table: string, columns: readonly string[]): boolean {
  const names = new Set(values(database, "SELECT name FROM pragma_table_info(?)", table).map(([name]) => String(name)));
  return names.size > 0 && columns.every((column) => names.has(column));
}

/** The rows of a table by owner, each owner with a digest over its rows in key order; without an owner: all as one. */
function readOwned(database: Database, table: string, owner: string | undefined): StoreFigures["owners"] {
  const shape = TABLES.find(({ name }) => name === table);
  if (shape === undefined || !hasColumns(database, table, shape.columns)) return [];
  const list = shape.columns.map(quoteName).join(", ");
  const order = shape.columns.slice(0, -1).map(quoteName).join(", ");
  const prepared = database.prepare(`SELECT ${list} FROM ${quoteName(table)} WHERE ${shape.counted} ORDER BY ${order}`);
  const found: { readonly id: string; rows: number; readonly hash: ReturnType<typeof createHash> }[] = [];
  try {
    for (const row of prepared.iterate() as Iterable<Record<string, BoundValue>>) {
      const id = owner === undefined ? "" : String(row[owner]).slice(0, 100);
      let group = found.at(-1);
      if (group?.id !== id) found.push((group = { id, rows: 0, hash: createHash("sha256") }));
      group.rows += 1;
      group.hash.update(`${encodeRow(shape.columns.map((column) => row[column] ?? null))}\n`);
    }
  } finally {
    prepared.finalize();
  }
  return found.map(({ id, rows, hash }) => ({ id, rows, digest: hash.digest("hex").slice(0, DIGEST_CHARS) }));
}

function readReplication(database: Database): StoreFigures["replication"] {
  if (!hasColumns(database, "crsql_db_versions", ["site_id", "db_version"])) return null;
  const versions = values(database, "SELECT hex(site_id), db_version FROM crsql_db_versions ORDER BY 1");
  const hasSites = hasColumns(database, "crsql_site_id", ["site_id", "ordinal"]);
  const site = hasSites ? values(database, "SELECT hex(site_id) FROM crsql_site_id WHERE ordinal = 0")[0]?.[0] : null;
  const hasGaps = hasColumns(database, "__corro_bookkeeping_gaps", ["start", "end"]);
  return {
    site: typeof site === "string" ? site.toLowerCase() : null,
    versions: versions.map(([id, version]) => ({ site: String(id).toLowerCase(), version: Number(version) })),
    missing: hasGaps ? numberOf(database, 'SELECT sum("end" - start + 1) FROM __corro_bookkeeping_gaps') : 0,
    members: loadMembers(database),
  };
}

/** `foca_state` is JSON whose `state` is a word; what it says of itself is never more than a word. */
function loadMembers(database: Database): Record<string, number> {
  if (!hasColumns(database, "__corro_members", ["foca_state"])) return {};
  const sql =
    "SELECT CASE WHEN json_valid(foca_state) THEN json_extract(foca_state, '$.state') END AS s, count(*) " +
    "FROM __corro_members GROUP BY s";
  return Object.fromEntries(
    values(database, sql).map(([state, count]) => [
      typeof state === "string" ? state.slice(0, 40) : "unknown",
      Number(count),
    ]),
  );
}
