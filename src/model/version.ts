import { semver } from "bun";
import packageJson from "../../package.json" with { type: "json" };

/** The release of this program, as it stands in package.json; part of the compiled executable. */
export const VERSION: string = packageJson.version;

/**
 * Whether version `a` comes before `b` by the precedence of Semantic Versioning (§11): `0.2.0-rc.2` before `0.2.0-rc.10`
 * before `0.2.0`, build metadata aside. Numbers that are not there count as 0, as in glibc's `2.36`. False when either is
 * no version: what cannot be read is not known to be older.
 */
export function isOlderVersion(a: string, b: string): boolean {
  try {
    return semver.order(withThreeNumbers(a), withThreeNumbers(b)) < 0;
  } catch {
    return false;
  }
}

function withThreeNumbers(text: string): string {
  return text.replace(/^(\d+)(\.\d+)?(?=[-+]|$)/, (_, major: string, minor = ".0") => `${major}${minor}.0`);
}
