/** Between two columns; nothing else stands there, so that lines can be cut and searched. */
const GAP = "  ";

/**
 * Rows under a head line, in columns as wide as their widest cell, wide characters and colours counted as terminals show
 * them; no line ends in blanks. A cell is one line of text.
 */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths: number[] = [];
  for (const cells of lines) {
    for (const [column, cell] of cells.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
    }
  }
  return lines.map((cells) => renderLine(cells, widths)).join("\n");
}

function renderLine(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell)))
    .join(GAP)
    .trimEnd();
}
