import { Command, CommanderError } from "commander";
import { JijiError } from "../model/errors.ts";
import { VERSION } from "../model/version.ts";
import type { CliContext } from "./context.ts";
import { EXIT, exitCodeOf, type ExitCode } from "./exit-codes.ts";
import { asJijiError, Output } from "./output.ts";
import { registerDb } from "./register/db.ts";
import { registerDns } from "./register/dns.ts";
import { registerDrain } from "./register/drain.ts";
import { registerGc } from "./register/gc.ts";
import { registerInspect } from "./register/inspect.ts";
import { collect, type Registrar, type Run } from "./register/registrar.ts";
import { registerSetup } from "./register/setup.ts";
import { registerStatus } from "./register/status.ts";
import { registerTeardown } from "./register/teardown.ts";

/** A further group of commands (`dns`, `store`, `agent`), added by the entry point that knows their parts. */
export type AddCommands = (program: Command, run: Run, context: CliContext) => void;

/** The commands of `jiji network`, in the order of its help. */
const COMMANDS: readonly ((registrar: Registrar) => void)[] = [
  registerSetup,
  registerStatus,
  registerDns,
  registerInspect,
  registerDrain,
  registerGc,
  registerDb,
  registerTeardown,
];

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
  addCommands(program, (chosen) => (work = chosen), context);
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

function buildProgram(context: CliContext, run: Run): Command {
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
  for (const register of COMMANDS) register({ network, context, run });
  return program;
}
