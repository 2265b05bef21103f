/** SQL that cannot be taken. `early` when it was refused before anything ran, so with a status of 400. */
export class SqlRefused extends Error {
  readonly early: boolean;

  constructor(why: string, early = true) {
    super(why);
    this.name = "SqlRefused";
    this.early = early;
  }
}

/** What an error of SQLite says, for people. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
