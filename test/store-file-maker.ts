import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SCHEMA } from "../src/store/schema.ts";

/** A store's file with the product's tables, open for writing as its store has it. */
export interface MadeStoreFile {
  readonly folder: string;
  readonly path: string;
  readonly writer: Database;
  /** takes the log away too, as a store that ends in good order does */
  close(): void;
  remove(): void;
}

export function makeStoreFile(): MadeStoreFile {
  const folder = mkdtempSync(join(tmpdir(), "jiji-store-file-"));
  const path = join(folder, "state.db");
  const writer = new Database(path, { create: true, readwrite: true });
  writer.run("PRAGMA journal_mode = WAL");
  writer.run(SCHEMA);
  writer.run("INSERT INTO servers (id, record, sig) VALUES ('s1', '{\"name\":\"web1\",\"subnet\":0}', 'x')");
  const insert = writer.prepare("INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)");
  for (let n = 0; n < 3; n++) insert.run("s1", n, JSON.stringify({ project: "shop", service: `api${n}`, rev: n }));
  insert.finalize();
  return {
    folder,
    path,
    writer,
    close: () => writer.close(),
    remove: () => {
      writer.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
