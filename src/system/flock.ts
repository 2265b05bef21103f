import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, readSync, writeSync } from "node:fs";
import { lstat, mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { libc } from "./libc.ts";

/** A lock that is held until `release`, or until this process ends. */
export interface HeldLock {
  release(): Promise<void>;
}

export type LockResult =
  | { readonly state: "held"; readonly lock: HeldLock }
  /** what the holder wrote into the file; text of somebody else, to be shown escaped */
  | { readonly state: "busy"; readonly holder: string };

/** flock(2), the same numbers on every Linux. */
const LOCK_EX = 2;
const LOCK_NB = 4;

const MAX_HOLDER_BYTES = 1000;

/**
 * Takes the lock file of that path, without waiting. The file is made for root only and never reached through a link, so
 * nobody else can hold or replace it. The holder's own words stand in it while the lock is held.
 */
export async function takeLock(path: string, holder: string): Promise<LockResult> {
  for (;;) {
    await makeFolder(dirname(path));
    const fd = openLockFile(path);
    if (fd === undefined) continue;
    if (!tryFlock(fd)) {
      const text = readHolder(fd);
      closeSync(fd);
      return { state: "busy", holder: text };
    }
    // The last holder may have removed the file after we opened it.
    if (isStillThere(path, fd)) {
      ftruncateSync(fd, 0);
      writeSync(fd, holder.slice(0, MAX_HOLDER_BYTES), 0);
      return { state: "held", lock: heldLock(fd) };
    }
    closeSync(fd);
  }
}

const PAUSE_MS = 20;

/** The same, waiting as long as it takes, at most `waitMs`; then it is still busy. */
export async function waitForLock(path: string, holder: string, waitMs: number): Promise<LockResult> {
  const endMs = performance.now() + waitMs;
  for (;;) {
    const result = await takeLock(path, holder);
    if (result.state === "held" || performance.now() >= endMs) return result;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Undefined when the folder has gone meanwhile: the last holder has removed it with the file. */
function openLockFile(path: string): number | undefined {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  try {
    // A plain descriptor: a FileHandle is closed when it is collected, and the lock would be lost.
    return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Removes lock files, and their folder when nothing else is left in it; for a server that jiji has left. */
export async function removeLocks(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true });
  const folder = dirname(paths[0] ?? "/nowhere/");
  if ((await readdir(folder).catch(() => ["?"])).length === 0) await rmdir(folder).catch(() => undefined);
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  const stats = await lstat(folder);
  if (!stats.isDirectory() || stats.uid !== process.getuid?.()) throw new Error(`${folder} is not root's own folder`);
}

function heldLock(fd: number): HeldLock {
  let isHeld = true;
  return {
    release: async () => {
      if (!isHeld) return;
      isHeld = false;
      ftruncateSync(fd, 0);
      closeSync(fd);
    },
  };
}

function readHolder(fd: number): string {
  const buffer = Buffer.alloc(MAX_HOLDER_BYTES);
  return buffer.subarray(0, readSync(fd, buffer, 0, MAX_HOLDER_BYTES, 0)).toString("utf8");
}

function isStillThere(path: string, fd: number): boolean {
  const here = fstatSync(fd);
  const there = lstatSync(path, { throwIfNoEntry: false });
  return there !== undefined && here.ino === there.ino && here.dev === there.dev;
}

function tryFlock(fd: number): boolean {
  return libc().flock(fd, LOCK_EX | LOCK_NB) === 0;
}
