/** The processor architectures that jiji runs on, by the names that Bun and Node use. */
export const ARCHITECTURES = ["x64", "arm64"] as const;

export type Arch = (typeof ARCHITECTURES)[number];

/** Every spelling that is understood: Bun's, Docker's and Debian's, and that of `uname -m`. */
const SPELLINGS = { x64: "x64", arm64: "arm64", amd64: "x64", x86_64: "x64", aarch64: "arm64" } as const;

/** Shape of deploy.yml's `arch`. */
export const ARCH_SPELLINGS = Object.keys(SPELLINGS) as (keyof typeof SPELLINGS)[];

/** Reads any spelling of an architecture; undefined for one that jiji does not run on. */
export function parseArch(text: string): Arch | undefined {
  return Object.hasOwn(SPELLINGS, text) ? SPELLINGS[text as keyof typeof SPELLINGS] : undefined;
}
