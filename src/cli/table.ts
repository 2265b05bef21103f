import { getBorderCharacters, table } from "table";

/** Marks a value that should be another one; it shows without colours, too. */
export const DIFFERS = "≠";

/** Between two columns; nothing else stands there, so that lines can be cut and searched. */
const GAP = "  ";

/**
 * Rows under a head line, in columns as wide as their widest cell, wide characters and colours counted as terminals show
 * them; no line ends in blanks. A cell is one line of text.
 */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const text = table([[...head], ...rows.map((row) => [...row])], {
    border: { ...getBorderCharacters("void"), bodyJoin: GAP },
    columnDefault: { paddingLeft: 0, paddingRight: 0 },
    drawHorizontalLine: () => false,
  });
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
