import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { found, unknown, ABSENT, type Reading } from "../model/reading.ts";

/** A file of the operator's machine, with the operator's own rights. */
export function readLocalFile(path: string): Reading<Buffer> {
  try {
    return found(readFileSync(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? ABSENT : unknown(message);
  }
}

export interface LocalOwner {
  readonly uid: number;
  readonly gid: number;
  /** permission bits */
  readonly mode: number;
}

/** Who owns the file and who may write it; undefined when that cannot be read. */
export function localOwner(path: string): LocalOwner | undefined {
  try {
    const { uid, gid, mode } = statSync(path);
    return { uid, gid, mode: mode & 0o7777 };
  } catch {
    return undefined;
  }
}

export function localFileExists(path: string): boolean {
  return existsSync(path);
}

/** Writes a temporary file and renames it, so that a reader sees the old or the new content; creates missing folders. */
export function writeLocalFile(path: string, content: string | Uint8Array, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, content, { mode });
  renameSync(temporary, path);
}
