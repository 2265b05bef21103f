/** One mistake in deploy.yml, at the place to correct. */
export interface ConfigProblem {
  /** both count from 1; undefined when the file as a whole is meant */
  readonly at: Position | undefined;
  readonly message: string;
  /** the next step, when the message alone does not say it */
  readonly hint?: string;
}

/** A place in a text: line and column count from 1, columns in UTF-16 units as editors count them. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** `file:line:column: message`, which editors and terminals turn into a link; a hint follows on its own line. */
export function formatConfigProblem(file: string, problem: ConfigProblem): string {
  const place = problem.at === undefined ? file : `${file}:${problem.at.line}:${problem.at.column}`;
  const line = `${place}: ${problem.message}`;
  return problem.hint === undefined ? line : `${line}\n  hint: ${problem.hint}`;
}
