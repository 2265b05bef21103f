import { dlopen, FFIType } from "bun:ffi";
import { readFileSync, readlinkSync } from "node:fs";

/** Give the pages back; what is used again is read from the file again (madvise(2)). */
const MADV_DONTNEED = 4;

/** A mapping of a file that nothing was ever written to: `from-to`, permissions, offset, device, inode, path (proc(5)). */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (r-x|r--)p \S+ \S+ \S+ +(.+)$/;

/**
 * Gives back the pages of the program's own file, of which most are needed by its start alone: half of what the process would else
 * hold. They stay in the system's cache of files; those that are needed again are mapped again when they are touched.
 * Linux only, and nothing happens where the mappings do not look as expected.
 */
export function releaseStartPages(): void {
  const ranges = constantRanges(readFileSync("/proc/self/maps", "utf8"), readlinkSync("/proc/self/exe"));
  if (ranges.length === 0) return;
  const libc = dlopen("libc.so.6", {
    madvise: { args: [FFIType.ptr, FFIType.u64_fast, FFIType.i32], returns: FFIType.i32 },
  });
  for (const { from, bytes } of ranges) libc.symbols.madvise(from, bytes, MADV_DONTNEED);
  libc.close();
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
