import { InvalidArgumentError, type Command } from "commander";
import { networkDbStats } from "../records/db-stats.ts";
import { networkDbQuery } from "../records/db-query.ts";
import { common, JSON_OUTPUT, outputFor, YES, type CommonOptions, type Registrar } from "./registrar.ts";

interface QueryFlags {
  readonly params?: string;
  readonly server?: string;
  readonly csv?: true;
  readonly timeout: number;
  readonly write?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

/** `jiji network db`. */
export function registerDb(registrar: Registrar): void {
  const db = registrar.network
    .command("db")
    .description("the store of records, by hand")
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true });
  registerStats({ ...registrar, network: db });
  registerQuery({ ...registrar, network: db });
}

function registerStats({ network: db, context, run }: Registrar): void {
  db.command("stats")
    .description("what each server's store holds, and where they differ; exit 5 when that lasts")
    .option("--json", JSON_OUTPUT)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      run(() => networkDbStats(context, outputFor(context, options), common(options)));
    });
}

function registerQuery({ network: db, context, run }: Registrar): void {
  db.command("query")
    .description("one SQL statement on one server's store; it only reads unless --write is given")
    .argument("<sql>", "the statement; values go into --params, not into the text")
    .option("--params <json>", "its values: a list for ?, an object for :name")
    .option("--server <name>", "ask this server; otherwise the first that answers")
    .option("--timeout <seconds>", "stop it after so much processor time", parseSeconds, 60)
    .option("--write", "let it change rows: shows what it would change, and asks")
    .option("--dry-run", "with --write: only show what it would change")
    .option("-y, --yes", `with --write: ${YES}`)
    .option("--csv", "print CSV")
    .option("--json", JSON_OUTPUT)
    .action((sql: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & QueryFlags>();
      run(() =>
        networkDbQuery(context, outputFor(context, options), {
          ...common(options),
          sql,
          params: options.params,
          server: options.server,
          seconds: options.timeout,
          csv: options.csv === true,
          write: options.write === true,
          dryRun: options.dryRun === true,
          yes: options.yes === true,
        }),
      );
    });
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (/^[0-9]{1,4}$/.test(text) && seconds >= 1 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError("whole seconds from 1 to 3600.");
}
