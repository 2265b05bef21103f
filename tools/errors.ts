/**
 * An error for whoever runs the lab, a script or a measurement: what went wrong, naming the server or the thing, and the
 * next step. Everything else that is thrown is a bug.
 */
export class ToolError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = "ToolError";
    this.hint = hint;
  }
}
