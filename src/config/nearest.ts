/**
 * Edits (insert, delete, replace, swap of neighbours) that turn one word into the other: the optimal string alignment
 * distance, in which no part is edited twice.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, at(beforeLast, j - 2) + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}

/**
 * The known word that was probably meant: the closest one within a third of the word's length (at least one edit). Case,
 * and `-` for `_`, make no difference. Undefined when no word is near.
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  const fold = (text: string) => text.toLowerCase().replaceAll("-", "_");
  let best: { word: string; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(fold(word), fold(candidate));
    if (best === undefined || distance < best.distance) best = { word: candidate, distance };
  }
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.word : undefined;
}
