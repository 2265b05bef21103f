/**
 * The errors that jiji throws on purpose, classified by what the reader does next. Anything else that is thrown is a bug
 * of jiji. Messages are lower case and name the server and the thing; `hint` is the next step.
 */
export type ErrorKind =
  /** the command line is wrong: exit 2 */
  | "usage"
  /** deploy.yml is wrong: exit 3 */
  | "config"
  /** a server could not be reached or refused the login */
  | "connection"
  /** a program on a server failed, or gave an answer that makes no sense */
  | "remote"
  /** the world is in a state that jiji will not change by itself */
  | "conflict"
  /** the operator said no, or pressed Ctrl-C: exit 130 */
  | "cancelled";

export interface ErrorDetails {
  /** the server's name in deploy.yml, when the error is about one */
  readonly server?: string | undefined;
  /** the next step, an imperative sentence or a command */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** An error for people: what is wrong, where, and what to do. */
export class JijiError extends Error {
  readonly kind: ErrorKind;
  readonly server: string | undefined;
  readonly hint: string | undefined;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "JijiError";
    this.kind = kind;
    this.server = details.server;
    this.hint = details.hint;
  }
}

/** What was thrown, in words: an error's message, or anything else as text. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
