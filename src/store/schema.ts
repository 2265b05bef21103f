/** A virtual column that shows one value of the row's JSON record; NULL while the record is empty or does not parse. */
function shown(column: string, type: "TEXT" | "INTEGER", path: string): string {
  return `${column} ${type} GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.${path}') END) VIRTUAL`;
}

/**
 * The tables of the store, for Corrosion's schema file and for the embedded store alike. Corrosion accepts `CREATE
 * TABLE` and `CREATE INDEX` only, wants every key column NOT NULL and a DEFAULT for every other NOT NULL column, and
 * never removes or changes a column. Each row carries one JSON value that is merged whole, so a release that adds a
 * field to a record changes nothing here; the virtual columns exist for people who look with `db query`.
 */
export const SCHEMA = `CREATE TABLE servers (
  id TEXT NOT NULL PRIMARY KEY,
  record TEXT NOT NULL DEFAULT '',
  sig TEXT NOT NULL DEFAULT '',
  ${shown("name", "TEXT", "name")},
  ${shown("subnet", "INTEGER", "subnet")},
  ${shown("public_key", "TEXT", "publicKey")},
  ${shown("version", "TEXT", "version")},
  ${shown("rev", "INTEGER", "rev")}
);

CREATE TABLE removed_servers (
  id TEXT NOT NULL PRIMARY KEY,
  record TEXT NOT NULL DEFAULT ''
);

CREATE TABLE containers (
  server_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  record TEXT NOT NULL DEFAULT '',
  ${shown("container_id", "TEXT", "containerId")},
  ${shown("project", "TEXT", "project")},
  ${shown("service", "TEXT", "service")},
  ${shown("instance", "TEXT", "instance")},
  ${shown("address", "TEXT", "address")},
  ${shown("state", "TEXT", "state")},
  ${shown("rev", "INTEGER", "rev")},
  PRIMARY KEY (server_id, n)
);

CREATE INDEX containers_by_service ON containers (project, service);

CREATE INDEX containers_by_address ON containers (address);
`;
