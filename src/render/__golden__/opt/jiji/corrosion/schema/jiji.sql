CREATE TABLE servers (
  id TEXT NOT NULL PRIMARY KEY,
  record TEXT NOT NULL DEFAULT '',
  sig TEXT NOT NULL DEFAULT '',
  name TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.name') END) VIRTUAL,
  subnet INTEGER GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.subnet') END) VIRTUAL,
  public_key TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.publicKey') END) VIRTUAL,
  version TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.version') END) VIRTUAL,
  rev INTEGER GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.rev') END) VIRTUAL
);

CREATE TABLE removed_servers (
  id TEXT NOT NULL PRIMARY KEY,
  record TEXT NOT NULL DEFAULT ''
);

CREATE TABLE containers (
  server_id TEXT NOT NULL,
  n INTEGER NOT NULL,
  record TEXT NOT NULL DEFAULT '',
  container_id TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.containerId') END) VIRTUAL,
  project TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.project') END) VIRTUAL,
  service TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.service') END) VIRTUAL,
  instance TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.instance') END) VIRTUAL,
  address TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.address') END) VIRTUAL,
  state TEXT GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.state') END) VIRTUAL,
  rev INTEGER GENERATED ALWAYS AS (CASE WHEN json_valid(record) THEN json_extract(record, '$.rev') END) VIRTUAL,
  PRIMARY KEY (server_id, n)
);

CREATE INDEX containers_by_service ON containers (project, service);

CREATE INDEX containers_by_address ON containers (address);
