import type { ErrorKind } from "../model/errors.ts";

/** What the process tells the shell; part of the documented interface. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  config: 3,
  /** some servers failed or could not be reached, the others are done */
  partly: 4,
  /** something is unhealthy, or not as the file says */
  unhealthy: 5,
  cancelled: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const BY_KIND: Readonly<Record<ErrorKind, ExitCode>> = {
  usage: EXIT.usage,
  config: EXIT.config,
  connection: EXIT.failed,
  remote: EXIT.failed,
  conflict: EXIT.failed,
  cancelled: EXIT.cancelled,
};

export function exitCodeOf(kind: ErrorKind): ExitCode {
  return BY_KIND[kind];
}
