import { JijiError } from "../../model/errors.ts";
import type { QueryEvent, QueryValue } from "../../model/node/query.ts";
import { showText } from "../../model/shown-text.ts";
import type { NoAnswer } from "../servers/any-server.ts";
import type { CliContext } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { NodeClient } from "../servers/node-client.ts";
import type { Output } from "../output.ts";
import { openQuery, type QueryAnswer } from "./query-client.ts";
import { jsonValue } from "./row-output.ts";

type Change = Extract<QueryEvent, { type: "change" }>;
type Rehearsed = Extract<QueryEvent, { type: "rehearsed" }>;
type Written = Extract<QueryEvent, { type: "written" }>;

export interface WriteOptions {
  readonly sql: string;
  readonly params: string | undefined;
  /** processor time after which the rehearsal is stopped */
  readonly seconds: number;
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly yes: boolean;
}

/** Asks one of the servers that may be asked. */
export type AskServer = (
  ask: (client: NodeClient) => Promise<{ client: NodeClient; answer: QueryAnswer } | NoAnswer>,
) => Promise<{ readonly name: string; readonly answer: { client: NodeClient; answer: QueryAnswer } }>;

/** Changes that are shown one by one. */
const SHOWN_CHANGES = 40;

/**
 * `db query --write`: rehearses the statement on a copy of the tables on one server, shows what it would change, asks, and
 * has that server's store do it.
 */
export async function writeRehearsed(
  context: CliContext,
  output: Output,
  options: WriteOptions,
  askServer: AskServer,
): Promise<ExitCode> {
  const { sql, seconds } = options;
  const params = options.params ?? null;
  const { name, answer } = await askServer(async (client) => {
    const opened = await openQuery(client, { mode: "rehearse", sql, params, seconds });
    return "events" in opened ? { client, answer: opened } : opened;
  });
  const { changes, end } = await collect(answer.answer, name);
  if (!options.json) showChanges(output, changes, end);
  const isWanted = end.differences > 0 && !options.dryRun && (await isAgreed(context, options, end, name));
  const written = isWanted ? await write(answer.client, options, name) : undefined;
  if (options.json) output.data(jsonOf(name, changes, end, written));
  else output.progress(lastWords(end, written, options.dryRun));
  return EXIT.ok;
}

async function collect(
  answer: QueryAnswer,
  server: string,
): Promise<{ readonly changes: readonly Change[]; readonly end: Rehearsed }> {
  const changes: Change[] = [];
  for await (const event of answer.events) {
    if (event.type === "change") changes.push(event);
    if (event.type === "rehearsed") return { changes, end: event };
  }
  throw new JijiError("remote", "the rehearsal has no end", { server });
}

async function isAgreed(
  context: CliContext,
  { yes }: WriteOptions,
  { differences }: Rehearsed,
  server: string,
): Promise<boolean> {
  if (yes || (await context.ask(`Change ${rowsOf(differences)} of the store, through ${server}?`))) return true;
  throw new JijiError("cancelled", "nothing was changed");
}

async function write(client: NodeClient, { sql, params }: WriteOptions, server: string): Promise<Written> {
  const answer = await openQuery(client, { mode: "write", sql, params: params ?? null });
  if (!("events" in answer)) throw new JijiError("remote", answer.why, { server, hint: answer.hint });
  for await (const event of answer.events) if (event.type === "written") return event;
  throw new JijiError("remote", "the store did not say what it wrote", { server });
}

function rowsOf(count: number): string {
  return `${count} ${count === 1 ? "row" : "rows"}`;
}

function showChanges(output: Output, changes: readonly Change[], end: Rehearsed): void {
  for (const change of changes.slice(0, SHOWN_CHANGES)) output.data(describeChange(change, output));
  const rest = end.differences - Math.min(changes.length, SHOWN_CHANGES);
  if (rest > 0) output.data(`… and ${rowsOf(rest)} more`);
  if (end.changingFunction !== null) {
    output.warn(
      `${showText(end.changingFunction)} gives another value each time: what is written will differ from this`,
    );
  }
  if (changes.some(({ table }) => table !== "removed_servers")) {
    output.progress("note: each server's agent puts its own rows back as they belong, within seconds");
  }
}

function describeChange({ table, columns, before, after }: Change, { colors }: Output): string {
  const name = showText(table);
  if (before === null) return colors.green(`+ ${name}  ${pairs(columns, after ?? [])}`);
  if (after === null) return colors.red(`- ${name}  ${pairs(columns, before)}`);
  const isSame = (index: number): boolean => cellOf(before[index]) === cellOf(after[index]);
  const kept = [...columns.keys()].filter(isSame);
  const changed = [...columns.keys()].filter((index) => !isSame(index));
  const pick = (indexes: readonly number[], row: readonly QueryValue[]): string =>
    pairs(
      indexes.map((index) => columns[index] ?? ""),
      indexes.map((index) => row[index] ?? null),
    );
  const lines = [colors.yellow(`~ ${name}  ${pick(kept, before)}`)];
  for (const index of changed) {
    lines.push(`    ${colors.red(`- ${pick([index], before)}`)}`, `    ${colors.green(`+ ${pick([index], after)}`)}`);
  }
  return lines.join("\n");
}

function pairs(columns: readonly string[], row: readonly QueryValue[]): string {
  return columns.map((column, index) => `${showText(column)}=${cellOf(row[index])}`).join("  ");
}

function cellOf(value: QueryValue | undefined): string {
  return jsonValue(value ?? null);
}

function lastWords(end: Rehearsed, written: Written | undefined, isDryRun: boolean): string {
  if (end.differences === 0) return "the statement would change nothing";
  if (isDryRun) return `dry run: ${rowsOf(end.differences)} would change, and nothing was changed`;
  const count = written?.rowsAffected ?? 0;
  const differs = count === end.rowsAffected ? "" : `; in the rehearsal it was ${end.rowsAffected}`;
  return `done: the store says ${rowsOf(count)}${differs}`;
}

function jsonOf(server: string, changes: readonly Change[], end: Rehearsed, written: Written | undefined): string {
  const rowJson = (row: readonly QueryValue[] | null): string =>
    row === null ? "null" : `[${row.map(jsonValue).join(", ")}]`;
  const list = changes.map(
    ({ table, columns, before, after }) =>
      `    {"table": ${jsonValue(table)}, "columns": [${columns.map(jsonValue).join(", ")}], ` +
      `"before": ${rowJson(before)}, "after": ${rowJson(after)}}`,
  );
  const isWritten = written !== undefined;
  return [
    "{",
    `  "ok": true, "exitCode": 0, "server": ${jsonValue(server)},`,
    `  "written": ${isWritten}, "rowsAffected": ${written?.rowsAffected ?? 0}, "version": ${written?.version ?? null},`,
    `  "changeCount": ${end.differences}, "changingFunction": ${jsonValue(end.changingFunction)},`,
    list.length === 0 ? `  "changes": []` : `  "changes": [\n${list.join(",\n")}\n  ]`,
    "}",
  ].join("\n");
}
