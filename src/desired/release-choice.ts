import type { Arch } from "../model/architecture.ts";
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
