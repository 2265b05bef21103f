import { isDeepStrictEqual } from "node:util";
import { parse } from "smol-toml";
import { stringList, type DnsFileFormat, type DnsKeys } from "./dns-keys.ts";

/**
 * Podman reads the settings from [containers]. jiji's documentation names [network], and Podman tolerates them there.
 */
const TABLES = ["containers", "network"] as const;

const HEAD = "# Settings of Podman and its relatives, containers.conf(5).\n";

/**
 * /etc/containers/containers.conf: TOML. The text is edited line by line, so comments and order stay. The result is parsed
 * again and must have exactly the wanted meaning.
 */
export const containersConf: DnsFileFormat = {
  read(text) {
    const document = parseToml(text);
    if (document === undefined) return undefined;
    const table = document["containers"] ?? {};
    if (typeof table !== "object") return undefined;
    const servers = stringList((table as Record<string, unknown>)["dns_servers"]);
    const searches = stringList((table as Record<string, unknown>)["dns_searches"]);
    return servers === undefined || searches === undefined ? undefined : { servers, searches };
  },
  write(text, keys) {
    const before = text ?? HEAD;
    const wanted = parseToml(before);
    if (wanted === undefined) return undefined;
    let lines = before.split("\n");
    for (const table of TABLES) {
      lines = editTable(lines, table, keys);
      const values = { ...(wanted[table] as Record<string, unknown> | undefined) };
      for (const [name, value] of entriesOf(keys)) {
        if (value === null) delete values[name];
        else values[name] = [...value];
      }
      if (Object.keys(values).length > 0 || wanted[table] !== undefined) wanted[table] = values;
    }
    const edited = lines.join("\n");
    return isDeepStrictEqual(plain(parseToml(edited)), plain(wanted)) ? edited : undefined;
  },
};

function entriesOf(keys: DnsKeys): readonly (readonly [string, readonly string[] | null])[] {
  return [
    ["dns_servers", keys.servers],
    ["dns_searches", keys.searches],
  ];
}

function parseToml(text: string): Record<string, unknown> | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/** Without the prototypes that a parser may give its tables. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function editTable(before: readonly string[], table: string, keys: DnsKeys): string[] {
  const lines = [...before];
  const additions: string[] = [];
  for (const [name, value] of entriesOf(keys)) {
    const text = value === null ? [] : [`${name} = ${JSON.stringify(value).replaceAll('","', '", "')}`];
    const place = findKey(lines, table, name);
    if (place === undefined) additions.push(...text);
    else lines.splice(place.start, place.end - place.start, ...text);
  }
  if (additions.length === 0) return lines;
  const end = endOfTable(lines, table);
  if (end !== undefined) {
    lines.splice(end, 0, ...additions);
    return lines;
  }
  while (lines.at(-1) === "") lines.pop();
  return [...lines, "", `[${table}]`, ...additions, ""];
}

/** The lines of a table after its header, as [start, end); undefined when there is no such table. */
function rangeOf(lines: readonly string[], table: string): readonly [number, number] | undefined {
  const header = lines.findIndex((line) => headerOf(line) === table);
  if (header < 0) return undefined;
  const next = lines.findIndex((line, index) => index > header && headerOf(line) !== undefined);
  return [header + 1, next < 0 ? lines.length : next];
}

/** The name in `[name]` or `[[name]]`; undefined when the line is no header. */
function headerOf(line: string): string | undefined {
  return /^\s*\[{1,2}\s*"?([A-Za-z0-9_.-]+)"?\s*\]{1,2}\s*(?:#.*)?$/.exec(line)?.[1];
}

/** The line after the last non-empty one of a table, or after its header. */
function endOfTable(lines: readonly string[], table: string): number | undefined {
  const range = rangeOf(lines, table);
  if (range === undefined) return undefined;
  const [start] = range;
  let [, end] = range;
  while (end > start && /^\s*(?:#.*)?$/.test(lines[end - 1] ?? "")) end--;
  return end;
}

/** The lines of one key with its whole value, which may span several. */
function findKey(
  lines: readonly string[],
  table: string,
  name: string,
): { readonly start: number; readonly end: number } | undefined {
  const range = rangeOf(lines, table);
  if (range === undefined) return undefined;
  for (let start = range[0]; start < range[1]; start++) {
    if (!new RegExp(`^\\s*"?${name}"?\\s*=`).test(lines[start] ?? "")) continue;
    let depth = 0;
    for (let end = start; end < range[1]; end++) {
      depth += bracketBalance(lines[end] ?? "");
      if (depth <= 0) return { start, end: end + 1 };
    }
  }
  return undefined;
}

/** Opening brackets minus closing ones, outside of strings and comments. */
function bracketBalance(line: string): number {
  const bare = line.replaceAll(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "").replace(/#.*$/, "");
  return (bare.match(/\[/g)?.length ?? 0) - (bare.match(/\]/g)?.length ?? 0);
}
