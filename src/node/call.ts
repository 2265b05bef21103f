import type { AnswerOf, CheckedRequestOf, Subcommand } from "../model/node/subcommands.ts";
import type { Host } from "../system/host.ts";

/** One call of a subcommand of `jiji node`. */
export interface Call<Name extends Subcommand> {
  readonly host: Host;
  /** resolves at the end of standard input */
  readonly closed: Promise<void>;
  /** prints one line of the answer */
  readonly say: (line: AnswerOf<Name>) => void;
  /** prints a line that is already JSON; resolves when there is room for more, so that memory stays bounded */
  readonly passOn: (line: string) => Promise<void>;
  /** the same, blocking the process until the line is written */
  readonly passOnNow: (line: string) => void;
}

/** Answers a request. When it throws, the error is printed as the failure and the exit code is 1. */
export type Handler<Name extends Subcommand> = (
  request: CheckedRequestOf<Name>,
  call: Call<Name>,
) => Promise<void> | void;
