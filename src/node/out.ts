import { JijiError } from "../model/errors.ts";
import type { ApplyEvent } from "../model/node-protocol.ts";

/** Prints one JSON line. */
export type Out = (line: object) => void;

/** Says why a subcommand failed, in the one form that the CLI reads after any of them; gives the exit code. */
export function reportFailure(error: unknown, out: Out): number {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof JijiError ? error.hint : undefined;
  const event: ApplyEvent = { type: "failed", message, ...(hint === undefined ? {} : { hint }) };
  out(event);
  return 1;
}
