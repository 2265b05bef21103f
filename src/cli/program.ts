import { Command, CommanderError, Option } from "commander";
import { JijiError } from "../model/errors.ts";
import { VERSION } from "../model/version.ts";
import type { CliContext } from "./context.ts";
import { EXIT, exitCodeOf, type ExitCode } from "./exit-codes.ts";
import { networkDns, normalizeFilter } from "./network-dns.ts";
import { networkSetup } from "./network-setup.ts";
import { networkStatus } from "./network-status.ts";
import { networkTeardown } from "./network-teardown.ts";
import { asJijiError, Output } from "./output.ts";

/** A further group of commands (`dns`, `store`, `agent`), added by the entry point that knows their parts. */
export type AddCommands = (program: Command, run: (work: () => Promise<ExitCode>) => void) => void;

interface CommonOptions {
  readonly config?: string;
  readonly environment?: string;
  readonly hosts?: string[];
  readonly trustConfig?: true;
  readonly verbose?: true;
  readonly quiet?: true;
  readonly json?: true;
}

/**
 * Runs one command line (without the program's name) and gives its exit code. Never rejects: every error is said on
 * standard error in one form.
 */
export async function runCli(
  argv: readonly string[],
  context: CliContext,
  addCommands: AddCommands = () => undefined,
): Promise<ExitCode> {
  let work: (() => Promise<ExitCode>) | undefined;
  const program = buildProgram(context, (chosen) => (work = chosen));
  addCommands(program, (chosen) => (work = chosen));
  applyToAll(program, (command) => configure(command, context));
  try {
    await program.parseAsync([...argv], { from: "user" });
    return (await work?.()) ?? EXIT.ok;
  } catch (error) {
    return describeFailure(error, context);
  }
}

function describeFailure(error: unknown, context: CliContext): ExitCode {
  const output = new Output(context, context.env, "normal");
  if (error instanceof CommanderError) {
    // Help and version were asked for and have been shown; everything else was said by commander itself.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  if (context.interrupted.aborted) {
    output.error("interrupted", "what was done is kept; running the command again goes on from there");
    return EXIT.cancelled;
  }
  const known = asJijiError(error);
  output.failure(known);
  if (!(error instanceof JijiError) && context.env["JIJI_DEBUG"] !== undefined && error instanceof Error) {
    context.stderr.write(`${error.stack ?? ""}\n`);
  }
  return exitCodeOf(known.kind);
}

function applyToAll(command: Command, work: (command: Command) => void): void {
  work(command);
  for (const inner of command.commands) applyToAll(inner, work);
}

function configure(command: Command, context: CliContext): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) => write(withHint(text)),
      getOutHelpWidth: () => context.stdout.columns ?? 100,
      getErrHelpWidth: () => context.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showSuggestionAfterError(true)
    .allowExcessArguments(false);
}

/** commander's "(Did you mean --dry-run?)" in the form of every other hint. */
function withHint(text: string): string {
  const match = /^(error: .*)\n\(Did you mean (.+)\?\)\n?$/s.exec(text);
  return match === null ? text : `${match[1]}\nhint: did you mean ${match[2]}?\n`;
}

function buildProgram(context: CliContext, run: (work: () => Promise<ExitCode>) => void): Command {
  const program = new Command("jiji")
    .description("A private network for the containers of several servers.")
    .version(VERSION, "--version", "show the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true });
  const network = program
    .command("network")
    .description("the private network of the servers in deploy.yml")
    .option("-c, --config <file>", "the deploy.yml to use (default: .jiji/deploy.yml here or in a folder above)")
    .option("-e, --environment <name>", "use .jiji/jiji.NAME.yml instead of .jiji/deploy.yml")
    .option("-H, --hosts <pattern>", "only servers whose name or host matches; * and ? are wildcards", collect)
    .option("--trust-config", "run programs that the file names (ssh.proxy_command, an ssh.config of its own)")
    .option("-v, --verbose", "say more")
    .option("-q, --quiet", "say only results and errors")
    .configureHelp({ showGlobalOptions: true });
  addSetup(network, context, run);
  addStatus(network, context, run);
  addDns(network, context, run);
  addTeardown(network, context, run);
  return program;
}

function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

const YES = "do not ask, go ahead";
const DRY_RUN = "show the plan and change nothing";
const JSON_OUTPUT = "print JSON";
const RESTART_ENGINE = "restart the container engine where its DNS settings need it, though containers stop";

function addSetup(network: Command, context: CliContext, run: (work: () => Promise<ExitCode>) => void): void {
  network
    .command("setup")
    .description("make every server a member of the network; safe to run again")
    .option("--dry-run", DRY_RUN)
    .option("-y, --yes", YES)
    .option("--json", JSON_OUTPUT)
    .option("--restart-engine", RESTART_ENGINE)
    .addOption(
      new Option(
        "--corrosion-binary <path>",
        "install this Corrosion instead of the official release; once per architecture",
      )
        .argParser(collect)
        .default([], "official"),
    )
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & SetupFlags>();
      run(() =>
        networkSetup(context, outputFor(context, options), {
          ...common(options),
          dryRun: options.dryRun === true,
          yes: options.yes === true,
          restartEngine: options.restartEngine === true,
          corrosionBinary: options.corrosionBinary,
        }),
      );
    });
}

interface SetupFlags {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly restartEngine?: true;
  readonly corrosionBinary: string[];
}

function addStatus(network: Command, context: CliContext, run: (work: () => Promise<ExitCode>) => void): void {
  network
    .command("status")
    .description("every server as it is now; exit 5 when one is not healthy")
    .option("--json", JSON_OUTPUT)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      run(() => networkStatus(context, outputFor(context, options), common(options)));
    });
}

function addDns(network: Command, context: CliContext, run: (work: () => Promise<ExitCode>) => void): void {
  network
    .command("dns")
    .description("the names of all services, with addresses, servers and states")
    .argument("[name]", "only names that equal or contain this")
    .option("--json", JSON_OUTPUT)
    .action((name: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      const filter = name === undefined ? undefined : normalizeFilter(name);
      run(() => networkDns(context, outputFor(context, options), { ...common(options), name: filter }));
    });
}

function addTeardown(network: Command, context: CliContext, run: (work: () => Promise<ExitCode>) => void): void {
  network
    .command("teardown")
    .description("take the servers out of the network and leave each as it was before")
    .option("--dry-run", DRY_RUN)
    .option("-y, --yes", YES)
    .option("--json", JSON_OUTPUT)
    .option("--restart-engine", RESTART_ENGINE)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & Omit<SetupFlags, "corrosionBinary">>();
      run(() =>
        networkTeardown(context, outputFor(context, options), {
          ...common(options),
          dryRun: options.dryRun === true,
          yes: options.yes === true,
          restartEngine: options.restartEngine === true,
        }),
      );
    });
}

function common(options: CommonOptions): {
  readonly file: string | undefined;
  readonly environment: string | undefined;
  readonly hosts: readonly string[];
  readonly trustConfig: boolean;
  readonly json: boolean;
} {
  return {
    file: options.config,
    environment: options.environment,
    hosts: options.hosts ?? [],
    trustConfig: options.trustConfig === true,
    json: options.json === true,
  };
}

function outputFor(context: CliContext, options: CommonOptions): Output {
  if (options.verbose === true && options.quiet === true) {
    throw new JijiError("usage", "give --verbose or --quiet, not both");
  }
  const verbosity = options.quiet === true ? "quiet" : options.verbose === true ? "verbose" : "normal";
  return new Output(context, context.env, verbosity);
}
