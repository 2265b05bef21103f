import { existsSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../tools/cache.ts";

/** Which store a lab's network gets. */
export type CorrosionChoice = { readonly kind: "binary"; readonly path: string } | { readonly kind: "embedded" };

/** Where a Corrosion that was built for tests waits. */
export function cachedCorrosion(): string {
  return join(cacheDirectory(), "klukai-0.1.4", "bin", "corrosion");
}

/**
 * A Corrosion for the lab: the one of CORROSION_BIN (the first of several), the cached one, or the official release;
 * where none can be had the embedded store, which is said aloud together with the command that builds one.
 */
export async function findCorrosion(say: (line: string) => void): Promise<CorrosionChoice> {
  const named = process.env["CORROSION_BIN"]?.split(":").find((path) => path !== "");
  for (const path of [named, cachedCorrosion()]) {
    if (path !== undefined && existsSync(path)) {
      say(`using ${path}`);
      return { kind: "binary", path };
    }
  }
  const official = await fetchOfficial(say);
  if (official !== undefined) return { kind: "binary", path: official };
  say("Corrosion cannot be had here: the network runs on the embedded store, which is for trials.");
  say("`npm run corrosion` builds Corrosion (about 11 minutes, needs cargo 1.89 or newer).");
  return { kind: "embedded" };
}

/** The Corrosion that `npm run corrosion` has built, or what is used in its place; throws where there is none. */
export async function mustFindCorrosion(): Promise<string> {
  const choice = await findCorrosion(() => undefined);
  if (choice.kind !== "binary") throw new Error("no Corrosion: `npm run corrosion` builds it");
  return choice.path;
}

async function fetchOfficial(say: (line: string) => void): Promise<string | undefined> {
  try {
    const { fetchCorrosionRelease } = await import("../src/cli/corrosion/release.ts");
    return await fetchCorrosionRelease({ say });
  } catch (error) {
    say(`the official release could not be fetched: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}
