import { JijiError } from "../model/errors.ts";
import type { Failure } from "../model/node/failure.ts";

/** Prints one JSON line. */
export type Out = (line: object) => void;

/** Says why a subcommand failed, in the one form that the CLI reads after any of them; gives the exit code. */
export function reportFailure(error: unknown, out: Out): number {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof JijiError ? error.hint : undefined;
  out({ type: "failed", message, ...(hint === undefined ? {} : { hint }) } satisfies Failure);
  return 1;
}
