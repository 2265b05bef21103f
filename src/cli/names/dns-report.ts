import type { Difference } from "./dns-differences.ts";

/** A difference shorter than this is a change on its way. */
export const SECOND_LOOK_MS = 1_000;

/** What the command found, whichever way it asked. */
export interface DnsReport {
  /** as `--json` prints it */
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: () => string;
  readonly isFound: boolean;
  /** names that could have been meant, when none was found */
  readonly known: readonly string[];
  readonly differences: readonly Difference[];
  /** servers that could not be asked, and why */
  readonly unasked: readonly { readonly server: string; readonly why: string }[];
}
