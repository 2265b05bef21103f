import type { Arch } from "../config/deploy-config.ts";
import type { Sha256 } from "../model/keys.ts";

/** What this run of the CLI installs, by architecture. */
export interface ReleaseChoice {
  readonly jiji: { readonly version: string; readonly byArch: Readonly<Record<Arch, ReleaseFile>> };
  /** undefined with the embedded store */
  readonly corrosion:
    | { readonly version: string; readonly byArch: Partial<Readonly<Record<Arch, ReleaseFile>>> }
    | undefined;
}

export interface ReleaseFile {
  readonly sha256: Sha256;
  /** the newest glibc symbol version that the file asks for, e.g. "2.34" */
  readonly glibc: string;
}

/** Compares versions such as 2.36 or 0.10.1 by their numbers: negative when `a` is the older. */
export function compareVersions(a: string, b: string): number {
  const numbers = (text: string): number[] => text.split(/[.+-]/).map((part) => Number.parseInt(part, 10) || 0);
  const [x, y] = [numbers(a), numbers(b)];
  for (let index = 0; index < Math.max(x.length, y.length); index++) {
    const difference = (x[index] ?? 0) - (y[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
