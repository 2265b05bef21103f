import { InvalidArgumentError, Option, type Command } from "commander";
import { JijiError } from "../model/errors.ts";
import { networkDrain } from "./containers/drain.ts";
import { networkInspect } from "./containers/inspect.ts";
import type { CliContext } from "./context.ts";
import type { ExitCode } from "./exit-codes.ts";
import { networkDns, normalizeFilter } from "./names/dns.ts";
import { Output } from "./output.ts";
import { networkDbQuery } from "./records/db-query.ts";
import { networkDbStats } from "./records/db-stats.ts";
import { networkGc } from "./records/gc.ts";
import type { MeshOptions } from "./servers/mesh.ts";
import { networkSetup } from "./setup/setup.ts";
import { networkStatus } from "./status/status.ts";
import { networkTeardown } from "./teardown/teardown.ts";

/** Says what is to be done once the whole command line has been understood. */
export type Run = (work: () => Promise<ExitCode>) => void;

/** What a command of `jiji network` is added to. */
export interface Registrar {
  readonly network: Command;
  readonly context: CliContext;
  readonly run: Run;
}

/** Options that every command of `jiji network` takes, as commander gives them. */
interface CommonFlags {
  readonly config?: string;
  readonly environment?: string;
  readonly hosts?: string[];
  readonly trustConfig?: true;
  readonly verbose?: true;
  readonly quiet?: true;
  readonly json?: true;
}

const YES = "do not ask, go ahead";
const JSON_OUTPUT = "print JSON";

/** Adds every command of `jiji network`, in the order of its help. */
export function addNetworkCommands(registrar: Registrar): void {
  addSetup(registrar);
  addStatus(registrar);
  addDns(registrar);
  addInspect(registrar);
  addDrain(registrar);
  addGc(registrar);
  const { network } = registrar;
  const db = network.command("db").description("the store of records, by hand").helpCommand(false);
  addDbStats({ ...registrar, network: db.configureHelp({ showGlobalOptions: true }) });
  addDbQuery({ ...registrar, network: db });
  addTeardown(registrar);
}

function addSetup(registrar: Registrar): void {
  const corrosion = new Option(
    "--corrosion-binary <path>",
    "install this Corrosion instead of the official release; once per architecture",
  );
  const command = registrar.network
    .command("setup")
    .description("make every server a member of the network; safe to run again");
  withPlan(command)
    .addOption(corrosion.argParser(collect).default([], "official"))
    .action(
      starts<PlanFlags & { readonly corrosionBinary: readonly string[] }>(
        registrar,
        (context, output, options, flags) =>
          networkSetup(context, output, { ...options, ...planOptions(flags), corrosionBinary: flags.corrosionBinary }),
      ),
    );
}

function addTeardown(registrar: Registrar): void {
  const command = registrar.network
    .command("teardown")
    .description("take the servers out of the network and leave each as it was before");
  withPlan(command).action(
    starts<PlanFlags>(registrar, (context, output, options, flags) =>
      networkTeardown(context, output, { ...options, ...planOptions(flags) }),
    ),
  );
}

interface PlanFlags {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly restartEngine?: boolean;
}

/** What setup and teardown take alike. */
function withPlan(command: Command): Command {
  return command
    .option("--dry-run", "show the plan and change nothing")
    .option("-y, --yes", YES)
    .option("--json", JSON_OUTPUT)
    .option(
      "--restart-engine",
      "restart the container engine where its DNS settings need it, also where containers would stop (a swarm)",
    );
}

function planOptions({
  dryRun = false,
  yes = false,
  restartEngine = false,
}: PlanFlags): Record<keyof PlanFlags, boolean> {
  return { dryRun, yes, restartEngine };
}

function addStatus(registrar: Registrar): void {
  registrar.network
    .command("status")
    .description("every server as it is now; exit 5 when one is not healthy")
    .option("--json", JSON_OUTPUT)
    .action(starts(registrar, networkStatus));
}

function addDns(registrar: Registrar): void {
  registrar.network
    .command("dns")
    .description("the names of all services, with addresses, servers and states; exit 5 when servers disagree")
    .argument("[name]", "only names that equal or contain this")
    .option("--from <server>", "ask that server's jiji-dns over the wire, and compare with the other servers")
    .option("--json", JSON_OUTPUT)
    .action(
      starts<{ readonly from?: string }>(registrar, (context, output, options, { from }, name) =>
        networkDns(context, output, { ...options, from, name: name === undefined ? undefined : normalizeFilter(name) }),
      ),
    );
}

function addInspect(registrar: Registrar): void {
  registrar.network
    .command("inspect")
    .description("one container as its engine, the stores and the DNS servers know it; exit 5 when they differ")
    .requiredOption(
      "--container <id|name>",
      "id or the beginning of one, name, DNS name, instance or address, on any server",
    )
    .option("--json", JSON_OUTPUT)
    .action(
      starts<{ readonly container: string }>(registrar, (context, output, options, { container }) =>
        networkInspect(context, output, { ...options, container }),
      ),
    );
}

function addDrain(registrar: Registrar): void {
  registrar.network
    .command("drain")
    .description("hide a running container from all answers, and say when no server answers it any more")
    .argument("<id>", "its id or the beginning of it, name, the DNS name of an instance, or address")
    .option("--undo", "answer it again")
    .option("--json", JSON_OUTPUT)
    .action(
      starts<{ readonly undo?: true }>(registrar, (context, output, options, { undo = false }, container = "") =>
        networkDrain(context, output, { ...options, container, undo }),
      ),
    );
}

function addGc(registrar: Registrar): void {
  registrar.network
    .command("gc")
    .description("stale rows, which no server owns any more; shows them, and deletes only with --force")
    .option("--force", "delete them, after asking, and free the numbers of removed servers")
    .option("-y, --yes", `with --force: ${YES}`)
    .option("--json", JSON_OUTPUT)
    .action(
      starts<{ readonly force?: true; readonly yes?: true }>(
        registrar,
        (context, output, options, { force = false, yes = false }) =>
          networkGc(context, output, { ...options, force, yes }),
      ),
    );
}

function addDbStats(registrar: Registrar): void {
  registrar.network
    .command("stats")
    .description("what each server's store holds, and where they differ; exit 5 when that lasts")
    .option("--json", JSON_OUTPUT)
    .action(starts(registrar, networkDbStats));
}

interface QueryFlags {
  readonly params?: string;
  readonly server?: string;
  readonly csv?: true;
  readonly timeout: number;
  readonly write?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

function addDbQuery(registrar: Registrar): void {
  registrar.network
    .command("query")
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
    .action(
      starts<QueryFlags>(registrar, (context, output, options, flags, sql = "") => {
        const { params, server, timeout: seconds, csv = false, write = false, dryRun = false, yes = false } = flags;
        return networkDbQuery(context, output, { ...options, sql, params, server, seconds, csv, write, dryRun, yes });
      }),
    );
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (/^[0-9]{1,4}$/.test(text) && seconds >= 1 && seconds <= 3600) return seconds;
  throw new InvalidArgumentError("whole seconds from 1 to 3600.");
}

/** For an option that may be given several times. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/**
 * The action of a command with at most one argument. The common options come as the commands take them, its own flags as
 * commander gives them.
 */
function starts<Flags extends object>(
  { context, run }: Registrar,
  work: (
    context: CliContext,
    output: Output,
    options: MeshOptions,
    flags: Flags,
    argument: string | undefined,
  ) => Promise<ExitCode>,
): (...given: unknown[]) => void {
  return (...given) => {
    const command = given.at(-1) as Command;
    const flags = command.optsWithGlobals<CommonFlags & Flags>();
    const [argument] = command.args;
    const { config: file, environment, hosts = [], trustConfig = false, json = false } = flags;
    const options = { file, environment, hosts, trustConfig, json };
    run(() => work(context, outputFor(context, flags), options, flags, argument));
  };
}

/** Throws a usage error for options that contradict each other. */
function outputFor(context: CliContext, { verbose, quiet }: CommonFlags): Output {
  if (verbose === true && quiet === true) throw new JijiError("usage", "give --verbose or --quiet, not both");
  return new Output(context, context.env, quiet === true ? "quiet" : verbose === true ? "verbose" : "normal");
}
