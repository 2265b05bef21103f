import { dirname, join } from "node:path";

/** File names with a meaning: letters, digits, `.`, `_` and `-`, so that an environment cannot lead to another folder. */
const ENVIRONMENT = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;

/** Whether the text may be given as `--environment`. */
export function isEnvironmentName(text: string): boolean {
  return ENVIRONMENT.test(text);
}

/**
 * Where deploy.yml may be, best first: in the folder itself, then in each folder above it. In each, the folder `.jiji` is
 * looked at: `deploy.yml`, or `jiji.NAME.yml` when an environment is asked for. `folder` is absolute.
 */
export function configCandidates(folder: string, environment: string | undefined): string[] {
  const name = environment === undefined ? "deploy.yml" : `jiji.${environment}.yml`;
  const candidates: string[] = [];
  for (let current = folder; ; current = dirname(current)) {
    candidates.push(join(current, ".jiji", name));
    if (dirname(current) === current) return candidates;
  }
}
