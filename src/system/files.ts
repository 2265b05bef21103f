import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  type FileHandle,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { JijiError, messageOf } from "../model/errors.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { waitForLock } from "./flock.ts";
import type { FileOwner, Files, FileStat } from "./host.ts";

/** A file under construction is called `.NAME.jiji-new-PID-N`, so that a removal also finds what a crash left. */
const UNFINISHED = ".jiji-new-";
let unfinishedCount = 0;

/** open(2): a descriptor that only names the file; node:fs does not list it. The same on x64 and arm64. */
const O_PATH = 0o10000000;

/** The machine's own files. Nothing is ever written through a symbolic link that somebody has placed there. */
export const systemFiles: Files = {
  read: (path) => reading(path, () => readText(path)),
  stat: (path) => reading(path, () => statOf(path)),
  list: (folder) => reading(folder, async () => (await readdir(folder)).sort()),
  hash: (path) => reading(path, () => hashOf(path)),
  write,
  makeFolder,
  link,
  move,
  setOwner,
  remove,
  withLock,
};

const LOCK_WAIT_MS = 10_000;

async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const result = await waitForLock(path, `process ${process.pid}`, LOCK_WAIT_MS);
  if (result.state === "busy") {
    throw new JijiError("conflict", `${path} is held by ${result.holder || "another process"}`, {
      hint: "wait until it has ended, then run the command again",
    });
  }
  try {
    return await work();
  } finally {
    await result.lock.release();
  }
}

async function reading<T>(path: string, look: () => Promise<T>): Promise<Reading<T>> {
  try {
    return found(await look());
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return ABSENT;
    return unknown(`${path}: ${messageOf(error)}`);
  }
}

async function readText(path: string): Promise<string> {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
}

async function statOf(path: string): Promise<FileStat> {
  const stats = await lstat(path);
  const type = typeOf(stats);
  return {
    type,
    mode: stats.mode & 0o7777,
    owner: await nameOf("/etc/passwd", stats.uid),
    group: await nameOf("/etc/group", stats.gid),
    sizeBytes: stats.size,
    ...(type === "link" ? { target: await readlink(path) } : {}),
  };
}

function typeOf(stats: Stats): FileStat["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "folder";
  return stats.isSymbolicLink() ? "link" : "other";
}

/** The name of a uid or gid in the local file, or the number itself as text. */
async function nameOf(file: "/etc/passwd" | "/etc/group", id: number): Promise<string> {
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    const fields = line.split(":");
    if (fields[2] === String(id)) return fields[0] ?? String(id);
  }
  return String(id);
}

async function idOf(file: "/etc/passwd" | "/etc/group", name: string): Promise<number> {
  if (name === "root") return 0;
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    const fields = line.split(":");
    if (fields[0] === name) return Number(fields[2]);
  }
  if (/^[0-9]+$/.test(name)) return Number(name);
  throw new Error(`${file} has no ${name}`);
}

const HASH_CHUNK_BYTES = 1 << 20;

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  const handle = await open(path, "r");
  try {
    const chunk = Buffer.allocUnsafe(HASH_CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

async function own(handle: FileHandle, owner: FileOwner): Promise<void> {
  await handle.chown(await idOf("/etc/passwd", owner.owner ?? "root"), await idOf("/etc/group", owner.group ?? "root"));
  await handle.chmod(owner.mode);
}

async function write(path: string, content: string | Uint8Array, owner: FileOwner): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const unfinished = join(folder, `.${basename(path)}${UNFINISHED}${process.pid}-${++unfinishedCount}`);
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const handle = await open(unfinished, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    await handle.writeFile(content);
    await own(handle, owner);
    await handle.sync();
    await handle.close();
    await rename(unfinished, path);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await rm(unfinished, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/** Makes sure that the rename itself is on disk. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function makeFolder(path: string, owner: FileOwner): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await setOwner(path, owner);
}

/** Works for sockets too, which cannot be opened: the file is held by an O_PATH descriptor and reached through that. */
async function setOwner(path: string, owner: FileOwner): Promise<void> {
  const handle = await open(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if ((await handle.stat()).isSymbolicLink()) throw new Error(`${path} is a link`);
    const held = `/proc/self/fd/${handle.fd}`;
    await chown(
      held,
      await idOf("/etc/passwd", owner.owner ?? "root"),
      await idOf("/etc/group", owner.group ?? "root"),
    );
    await chmod(held, owner.mode);
  } finally {
    await handle.close();
  }
}

async function move(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}

async function link(path: string, target: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const unfinished = join(folder, `.${basename(path)}${UNFINISHED}${process.pid}-${++unfinishedCount}`);
  await symlink(target, unfinished);
  await rename(unfinished, path);
}

async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  const folder = dirname(path);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (name.startsWith(`.${basename(path)}${UNFINISHED}`))
      await rm(join(folder, name), { recursive: true, force: true });
  }
}
