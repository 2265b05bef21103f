/**
 * An error of the lab for people: what went wrong, naming the server or the thing, and the next step. Everything else
 * that is thrown is a bug of the lab.
 */
export class LabError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = "LabError";
    this.hint = hint;
  }
}
