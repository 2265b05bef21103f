import { JijiError } from "../../model/errors.ts";
import { parseQuery } from "../../store/query/query-parameters.ts";
import { askInTurn } from "../servers/any-server.ts";
import type { CliContext } from "../context.ts";
import { EXIT, exitCodeOf, type ExitCode } from "../exit-codes.ts";
import { selectServer } from "../servers/host-pattern.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import { asJijiError, type Output } from "../output.ts";
import { openQuery, type QueryAnswer } from "./query-client.ts";
import { csvFormat, jsonFormat, tableFormat, type RowFormat } from "./row-output.ts";
import { writeRehearsed, type WriteOptions } from "./write-rehearsed.ts";

export interface QueryOptions extends MeshOptions, WriteOptions {
  readonly csv: boolean;
  /** the one server to ask; undefined: whichever answers first */
  readonly server: string | undefined;
  readonly write: boolean;
}

/** `jiji network db query`: one statement against the store of one server, read only unless `write` is asked for. */
export async function networkDbQuery(context: CliContext, output: Output, options: QueryOptions): Promise<ExitCode> {
  checkOptions(context, options);
  return withMesh(context, options, async (mesh) => {
    const servers =
      options.server === undefined
        ? mesh.servers
        : [selectServer(mesh.loaded.config.servers, "--server", options.server)];
    if (options.write) return await writeRehearsed(context, output, options, (ask) => askInTurn(mesh, servers, ask));
    const { sql, seconds } = options;
    const params = options.params ?? null;
    const { name, answer } = await askInTurn(mesh, servers, (client) =>
      openQuery(client, { mode: "read", sql, params, seconds }),
    );
    output.detail(`asked ${name}`);
    return await printRows(context, output, options, name, answer);
  });
}

/** Refuses options that contradict each other, before any server is asked. */
function checkOptions(context: CliContext, options: QueryOptions): void {
  const parsed = parseQuery(options.sql, options.params);
  if (!parsed.ok) throw new JijiError("usage", parsed.why, { hint: parsed.hint });
  if (options.json && options.csv) throw new JijiError("usage", "give --json or --csv, not both");
  if (!options.write && (options.dryRun || options.yes)) {
    throw new JijiError("usage", "--dry-run and --yes belong to --write", { hint: "a query changes nothing" });
  }
  if (!options.write) return;
  if (options.csv) throw new JijiError("usage", "--csv is for rows that are read", { hint: "--write takes --json" });
  if (options.dryRun || options.yes || context.canAsk) return;
  throw new JijiError("usage", "there is no terminal to ask at", {
    hint: "--dry-run shows what would change; --yes goes ahead",
  });
}

function formatOf(options: QueryOptions, output: Output, server: string): RowFormat {
  if (options.json) return jsonFormat(server);
  return options.csv ? csvFormat(output.isTerminal) : tableFormat(output.colors);
}

async function printRows(
  context: CliContext,
  output: Output,
  options: QueryOptions,
  server: string,
  answer: QueryAnswer,
): Promise<ExitCode> {
  const format = formatOf(options, output, server);
  let count = 0;
  // A reader may stop early (`| head`). That is no failure.
  const print = async (text: string | undefined): Promise<boolean> =>
    text === undefined || text === "" || (await output.stream(text));
  try {
    for await (const event of answer.events) {
      if (event.type === "columns" && !(await print(format.head(event.columns)))) return EXIT.ok;
      if (event.type === "rows") {
        count += event.rows.length;
        if (!(await print(format.rows(event.rows)))) return EXIT.ok;
      }
    }
  } catch (error) {
    const known = context.interrupted.aborted ? new JijiError("cancelled", "interrupted") : asJijiError(error, server);
    const { message, hint = null, server: where = null } = known;
    await print(format.end(count, { message, hint, server: where, exitCode: exitCodeOf(known.kind) }));
    throw known;
  }
  await print(format.end(count));
  if (!options.json && !options.csv) output.progress(`${count} ${count === 1 ? "row" : "rows"}, from ${server}`);
  return EXIT.ok;
}
