import { createColors } from "picocolors";
import { JijiError, messageOf } from "../model/errors.ts";
import type { TextSink } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export type Colors = ReturnType<typeof createColors>;

export type Verbosity = "quiet" | "normal" | "verbose";

/**
 * What a command prints: data on standard output, progress and errors on standard error. Only terminals get colours, and
 * none when NO_COLOR is set (https://no-color.org).
 */
export class Output {
  readonly verbosity: Verbosity;
  /** colours for standard output */
  readonly colors: Colors;
  readonly columns: number;
  readonly #stdout: TextSink;
  readonly #stderr: TextSink;
  readonly #errorColors: Colors;
  readonly #startedMs = performance.now();

  constructor(
    sinks: { readonly stdout: TextSink; readonly stderr: TextSink },
    env: Readonly<Record<string, string | undefined>>,
    verbosity: Verbosity,
  ) {
    this.verbosity = verbosity;
    this.#stdout = sinks.stdout;
    this.#stderr = sinks.stderr;
    const allowed = (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
    this.colors = createColors(allowed && sinks.stdout.isTerminal);
    this.#errorColors = createColors(allowed && sinks.stderr.isTerminal);
    this.columns = sinks.stdout.columns ?? 120;
  }

  /** The command's result: a table, JSON. */
  data(text: string): void {
    this.#stdout.write(`${text}\n`);
  }

  /** The same for unbounded data. Resolves when there is room for more, with false when the reader is gone. */
  async stream(text: string): Promise<boolean> {
    this.data(text);
    return (await this.#stdout.room?.()) ?? true;
  }

  /** whether standard output is a terminal */
  get isTerminal(): boolean {
    return this.#stdout.isTerminal;
  }

  /** A command's whole result as JSON; `ok` and `exitCode` stand first in all of them. */
  json(exitCode: ExitCode, result: object): void {
    this.data(JSON.stringify({ ok: exitCode === EXIT.ok, exitCode, ...result }, null, 2));
  }

  /** Progress, for people who wait. */
  progress(text: string): void {
    if (this.verbosity !== "quiet") this.#stderr.write(`${text}\n`);
  }

  /** The same about one server. */
  server(name: string, text: string): void {
    this.progress(`  ${this.#errorColors.cyan(name)}  ${text}`);
  }

  /** Details, printed in verbose mode only, with the time since the command began. */
  detail(text: string): void {
    if (this.verbosity !== "verbose") return;
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(1);
    this.#stderr.write(`${this.#errorColors.dim(`${seconds} s  ${text}`)}\n`);
  }

  warn(message: string, hint?: string): void {
    this.#stderr.write(`${this.#errorColors.yellow("warning:")} ${message}\n`);
    this.#hint(hint);
  }

  error(message: string, hint?: string): void {
    this.#stderr.write(`${this.#errorColors.red("error:")} ${message}\n`);
    this.#hint(hint);
  }

  failure(error: JijiError): void {
    this.error(error.server === undefined ? error.message : `${error.server}: ${error.message}`, error.hint);
  }

  #hint(hint: string | undefined): void {
    if (hint !== undefined) this.#stderr.write(`${this.#errorColors.dim("hint:")} ${hint}\n`);
  }
}

/** Any thrown value as an error for people; a bug keeps its stack for the report. */
export function asJijiError(error: unknown, server?: string): JijiError {
  if (error instanceof JijiError) {
    if (error.server !== undefined || server === undefined) return error;
    return new JijiError(error.kind, error.message, { server, hint: error.hint, cause: error });
  }
  const message = messageOf(error);
  return new JijiError("remote", `this is a bug of jiji: ${message}`, {
    server,
    hint: error instanceof Error ? (error.stack?.split("\n").slice(1, 4).join(" ").replaceAll(/\s+/g, " ") ?? "") : "",
    cause: error,
  });
}
