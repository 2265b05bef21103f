/** Above this many lines on a side, the middle of a change is not compared line by line. */
const MAX_LINES = 400;

/**
 * What changes between two texts, for people: `- old line`, `+ new line`, in order, unchanged lines left out. Empty when
 * they are equal.
 */
export function diffLines(before: string, after: string): readonly string[] {
  const a = before.split("\n");
  const b = after.split("\n");
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const left = a.slice(start, a.length - end);
  const right = b.slice(start, b.length - end);
  if (left.length > MAX_LINES || right.length > MAX_LINES) return [`${left.length} lines become ${right.length}`];
  return walk(left, right, commonSuffixLengths(left, right));
}

/** `table[i][j]`: how many lines left.slice(i) and right.slice(j) have in common, in order. */
function commonSuffixLengths(left: readonly string[], right: readonly string[]): readonly (readonly number[])[] {
  const table: number[][] = Array.from({ length: left.length + 1 }, () =>
    Array.from({ length: right.length + 1 }, () => 0),
  );
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      const best =
        left[i] === right[j] ? at(table, i + 1, j + 1) + 1 : Math.max(at(table, i + 1, j), at(table, i, j + 1));
      (table[i] as number[])[j] = best;
    }
  }
  return table;
}

function at(table: readonly (readonly number[])[], i: number, j: number): number {
  return table[i]?.[j] ?? 0;
}

function walk(left: readonly string[], right: readonly string[], table: readonly (readonly number[])[]): string[] {
  const lines: string[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      i++;
      j++;
    } else if (i < left.length && (j >= right.length || at(table, i + 1, j) >= at(table, i, j + 1))) {
      lines.push(`- ${left[i++]}`);
    } else lines.push(`+ ${right[j++]}`);
  }
  return lines;
}
