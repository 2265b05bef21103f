import type { AnswerOf, CheckedRequestOf, Subcommand } from "../model/node/subcommands.ts";
import type { Host } from "../system/host.ts";

/** One call of a subcommand of `jiji node`. */
export interface Call<Name extends Subcommand> {
  readonly host: Host;
  /** resolves at the end of standard input */
  readonly closed: Promise<void>;
  /** prints one line of the answer */
  readonly say: (line: AnswerOf<Name>) => void;
  /** prints a line that is JSON already, and waits until it is on its way, so that nothing piles up here */
  readonly passOn: (line: string) => Promise<void>;
  /** the same for a process that has nothing else to do: it stands still while the reader is busy */
  readonly passOnNow: (line: string) => void;
}

/** Answers a request. What it throws is printed as the failure, and the exit code is 1. */
export type Handler<Name extends Subcommand> = (
  request: CheckedRequestOf<Name>,
  call: Call<Name>,
) => Promise<void> | void;
