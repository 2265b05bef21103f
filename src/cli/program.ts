import { Command, CommanderError } from "commander";
import { JijiError } from "../model/errors.ts";
import { VERSION } from "../model/version.ts";
import { addNetworkCommands, collect, type Run } from "./commands.ts";
import type { CliContext } from "./context.ts";
import { EXIT, exitCodeOf, type ExitCode } from "./exit-codes.ts";
import { asJijiError, Output } from "./output.ts";

/** A further group of commands (`dns`, `store`, `agent`), added by the entry point that knows their parts. */
export type AddCommands = (program: Command, run: Run, context: CliContext) => void;

/**
 * Runs one command line (without the program's name) and gives its exit code. Never rejects: every error is said on
 * standard error in one form.
 */
export async function runCli(
  argv: readonly string[],
  given: CliContext,
  addCommands: AddCommands = () => undefined,
): Promise<ExitCode> {
  let work: (() => Promise<ExitCode>) | undefined;
  const state = { hasData: false };
  const context = withWatchedData(given, () => (state.hasData = true));
  const program = buildProgram(context, (chosen) => (work = chosen));
  addCommands(program, (chosen) => (work = chosen), context);
  applyToAll(program, (command) => configure(command, context));
  try {
    await program.parseAsync([...argv], { from: "user" });
    return (await work?.()) ?? EXIT.ok;
  } catch (error) {
    const failure = describeFailure(error, context);
    // With --json there is always one JSON value, unless a query already printed rows before it failed.
    if (failure.code !== EXIT.ok && argv.includes("--json") && !state.hasData) {
      new Output(context, context.env, "normal").json(failure.code, { error: failure.said });
    }
    return failure.code;
  }
}

/** The same context, with a standard output that reports each write. */
function withWatchedData(context: CliContext, onData: () => void): CliContext {
  const { stdout } = context;
  const write = (text: string): void => {
    onData();
    stdout.write(text);
  };
  const { isTerminal, columns } = stdout;
  const room =
    stdout.room === undefined ? {} : { room: (): Promise<boolean> => stdout.room?.() ?? Promise.resolve(true) };
  return { ...context, stdout: { write, isTerminal, columns, ...room } };
}

/** An error as it was said. */
interface Failure {
  readonly code: ExitCode;
  readonly said: { readonly message: string; readonly hint: string | null; readonly server: string | null };
}

function describeFailure(error: unknown, context: CliContext): Failure {
  const output = new Output(context, context.env, "normal");
  if (error instanceof CommanderError) {
    // commander has already printed help, version or its own error.
    const code = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const [message = "", hint = null] = withHint(error.message)
      .replace(/^error: |\n$/g, "")
      .split("\nhint: ");
    return { code, said: { message, hint, server: null } };
  }
  if (context.interrupted.aborted) {
    const hint = "what was done is kept; running the command again goes on from there";
    output.error("interrupted", hint);
    return { code: EXIT.cancelled, said: { message: "interrupted", hint, server: null } };
  }
  const known = asJijiError(error);
  output.failure(known);
  if (!(error instanceof JijiError) && context.env["JIJI_DEBUG"] !== undefined && error instanceof Error) {
    context.stderr.write(`${error.stack ?? ""}\n`);
  }
  const { message, hint, server } = known;
  return { code: exitCodeOf(known.kind), said: { message, hint: hint ?? null, server: server ?? null } };
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
  addNetworkCommands({ network, context, run });
  return program;
}
