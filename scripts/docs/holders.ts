import type { TaggedTest } from "./tagged-tests.ts";

/** `| id | promise | held by |` */
const row = /^\| ([a-z0-9][a-z0-9-]*) \| (.+?) \| (.*) \|$/;

/**
 * Writes into the last column of a document's tables the tests that are tagged with the row's id. Ids and promises are
 * written by hand. A cell that says where a promise is measured stays. Throws for a promise that no test holds, for an
 * id that stands twice, and for a tag whose id stands nowhere.
 */
export function fillHolders(text: string, tests: readonly TaggedTest[]): string {
  const seen = new Set<string>();
  const lines = text.split("\n").map((line) => {
    const [, id, promise, current] = row.exec(line) ?? [];
    if (id === undefined || promise === undefined || id === "id") return line;
    if (seen.has(id)) throw new Error(`the id ${id} stands twice`);
    seen.add(id);
    const holders = tests.filter(({ ids }) => ids.includes(id));
    if (holders.length === 0 && current?.startsWith("measured: ")) return line;
    if (holders.length === 0) throw new Error(`no test is tagged ${id}`);
    return `| ${id} | ${promise} | ${holders.map(formatHolder).join("<br>")} |`;
  });
  const unknown = tests.flatMap(({ ids, file }) => ids.filter((id) => !seen.has(id)).map((id) => `${id} (${file})`));
  if (unknown.length > 0) throw new Error(`no row has the id that a test is tagged with: ${unknown.join(", ")}`);
  return lines.join("\n");
}

function formatHolder({ file, title }: TaggedTest): string {
  return `\`${file}\` › ${title.replaceAll("|", "\\|")}`;
}
