import { FINDINGS } from "../../src/model/finding.ts";

const begin = "<!-- findings: written by npm run docs -->\n";
const end = "<!-- end of findings -->";

/** Writes one row for each code of the catalogue between the two marks. */
export function fillFindings(text: string): string {
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`there must be one ${begin.trim()} and ${end}`);
  const rows = Object.entries(FINDINGS).map(
    ([code, { severity, what, cure }]) => `| ${code} | ${severity} | ${cell(what)} | ${cell(cure)} |`,
  );
  const table = ["| code | severity | what | what to do |", "| --- | --- | --- | --- |", ...rows].join("\n");
  return `${before}${begin}\n${table}\n\n${end}${after}`;
}

/** `{name}` becomes NAME; a placeholder is no code. */
function cell(text: string): string {
  return text.replaceAll(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase()).replaceAll("|", "\\|");
}
