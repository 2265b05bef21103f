import { getBorderCharacters, table } from "table";

/** Marks a value that should be another one; it shows without colours, too. */
export const DIFFERS = "≠";

/** Stands between two columns, and nothing else does, so that lines can be cut and searched. */
const GAP = "  ";

/**
 * Rows under a head line. Each column is as wide as its widest cell on a terminal, wide characters and colours included. No
 * line ends in blanks. A cell is one line of text.
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
