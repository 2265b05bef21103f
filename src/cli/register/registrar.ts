import type { Command } from "commander";
import { JijiError } from "../../model/errors.ts";
import type { CliContext } from "../context.ts";
import type { ExitCode } from "../exit-codes.ts";
import { Output } from "../output.ts";

/** Says what is to be done once the whole command line has been understood. */
export type Run = (work: () => Promise<ExitCode>) => void;

/** What a command of `jiji network` is added to. */
export interface Registrar {
  readonly network: Command;
  readonly context: CliContext;
  readonly run: Run;
}

/** Options that every command of `jiji network` takes, as commander gives them. */
export interface CommonOptions {
  readonly config?: string;
  readonly environment?: string;
  readonly hosts?: string[];
  readonly trustConfig?: true;
  readonly verbose?: true;
  readonly quiet?: true;
  readonly json?: true;
}

export const YES = "do not ask, go ahead";
export const DRY_RUN = "show the plan and change nothing";
export const JSON_OUTPUT = "print JSON";
export const RESTART_ENGINE =
  "restart the container engine where its DNS settings need it, also where containers would stop (a swarm)";

/** For an option that may be given several times. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** The common options as the commands themselves take them. */
export function common(options: CommonOptions): {
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

/** Throws a usage error for options that contradict each other. */
export function outputFor(context: CliContext, options: CommonOptions): Output {
  if (options.verbose === true && options.quiet === true) {
    throw new JijiError("usage", "give --verbose or --quiet, not both");
  }
  const verbosity = options.quiet === true ? "quiet" : options.verbose === true ? "verbose" : "normal";
  return new Output(context, context.env, verbosity);
}
