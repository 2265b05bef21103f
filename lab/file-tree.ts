import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/**
 * One line for each file below a folder, sorted by path: the path as seen from `root`, type, mode, owner, and for a
 * plain file its SHA-256, for a link its target. Times are not in it. A folder that does not exist gives no line.
 */
export function describeTree(root: string, folder: string, leaveOut: (path: string) => boolean): string[] {
  const lines: string[] = [];
  const visit = (path: string) => {
    const full = join(root, path);
    const stat = lstatSync(full, { throwIfNoEntry: false });
    if (stat === undefined || leaveOut(path)) return;
    const rights = `${(stat.mode & 0o7777).toString(8).padStart(4, "0")} ${stat.uid}:${stat.gid}`;
    if (stat.isSymbolicLink()) lines.push(`${path}: link ${stat.uid}:${stat.gid} -> ${readlinkSync(full)}`);
    else if (stat.isDirectory()) {
      lines.push(`${path}: folder ${rights}`);
      for (const entry of readdirSync(full).sort()) visit(join(path, entry));
    } else if (stat.isFile()) {
      const hash = createHash("sha256").update(readFileSync(full)).digest("hex");
      lines.push(`${path}: file ${rights} ${stat.size} bytes sha256 ${hash}`);
    } else lines.push(`${path}: special ${rights}`);
  };
  visit(folder);
  return lines;
}

/** Paths below some folders, as seen from `root`, whose last part contains `text`; mounts are not entered. */
export function findByName(root: string, folders: readonly string[], text: string): string[] {
  const found: string[] = [];
  const visit = (path: string, device: number) => {
    const full = join(root, path);
    const stat = lstatSync(full, { throwIfNoEntry: false });
    if (stat === undefined || stat.dev !== device) return;
    if (path.slice(path.lastIndexOf("/") + 1).includes(text)) found.push(path);
    else if (stat.isDirectory()) for (const entry of readdirSync(full).sort()) visit(join(path, entry), device);
  };
  for (const folder of folders) {
    const device = lstatSync(join(root, folder), { throwIfNoEntry: false })?.dev;
    if (device !== undefined) visit(folder, device);
  }
  return found;
}
