import { readFileSync, readlinkSync } from "node:fs";
import { libc } from "./libc.ts";

/** Gives pages back to the system; a page that is used again is read from the file again (madvise(2)). */
const MADV_DONTNEED = 4;

/** A mapping of a file that nothing was ever written to: `from-to`, permissions, offset, device, inode, path (proc(5)). */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (r-x|r--)p \S+ \S+ \S+ +(.+)$/;

/**
 * Gives back the pages of the program's own file. Most of them are needed only at the start, and they are half of the
 * process's memory. They stay in the system's page cache; a page that is touched again is mapped again. Linux only. When the
 * mappings do not look as expected, it does nothing.
 */
export function releaseStartPages(): void {
  const ranges = constantRanges(readFileSync("/proc/self/maps", "utf8"), readlinkSync("/proc/self/exe"));
  for (const { from, bytes } of ranges) libc().madvise(from, bytes, MADV_DONTNEED);
}

/**
 * Code and constants of the program, from the text of /proc/self/maps: the mappings of its file up to its code. Those
 * behind it were written to when the program was loaded (relocations), so they must stay, read-only or not.
 */
export function constantRanges(
  maps: string,
  program: string,
): readonly { readonly from: number; readonly bytes: number }[] {
  const ranges: { from: number; bytes: number }[] = [];
  for (const line of maps.split("\n")) {
    const [, from = "", to = "", permissions, path] = MAPPING.exec(line) ?? [];
    if (path !== program) {
      if (line.endsWith(` ${program}`)) return [];
      continue;
    }
    ranges.push({ from: Number.parseInt(from, 16), bytes: Number.parseInt(to, 16) - Number.parseInt(from, 16) });
    if (permissions === "r-x") return ranges;
  }
  return [];
}
