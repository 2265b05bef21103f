import { chownSync, existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** The cache of this project outside the repository: `$JIJI_CACHE`, else `~/.cache/jiji`. */
export function cacheDirectory(): string {
  return process.env["JIJI_CACHE"] ?? join(homedir(), ".cache", "jiji");
}

/**
 * Makes a folder with its parents; those that did not exist are given to the user who called sudo, so that root leaves
 * no folder in the user's home that the user could not remove.
 */
export function makeOwnedDirectory(path: string): void {
  if (existsSync(path)) return;
  makeOwnedDirectory(dirname(path));
  mkdirSync(path, { recursive: true });
  const uid = Number(process.env["SUDO_UID"] ?? Number.NaN);
  const gid = Number(process.env["SUDO_GID"] ?? Number.NaN);
  if (process.getuid?.() === 0 && Number.isInteger(uid) && Number.isInteger(gid)) chownSync(path, uid, gid);
}
