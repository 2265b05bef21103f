import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { imageDirectory } from "./base-image.ts";
import { engineChoices, recipeFor, releases } from "./recipe.ts";

/** A base image in the cache. */
export interface CachedImage {
  readonly name: string;
  readonly path: string;
  /** Made by today's recipe; an image that is not current is used by nobody new. */
  readonly current: boolean;
  /** A server stands on it. */
  readonly inUse: boolean;
}

/** All images in the cache, by name. */
export function listImages(): CachedImage[] {
  const directory = imageDirectory();
  if (!existsSync(directory)) return [];
  const wanted = new Set(releases.flatMap((release) => engineChoices.map((engine) => recipeFor(release, engine).key)));
  const mounts = readFileSync("/proc/self/mounts", "utf8");
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => {
      const path = join(directory, name);
      return { name, path, current: wanted.has(name), inUse: mounts.includes(`lowerdir=${path},`) };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Removes images from the cache: those of older recipes, or all. Those in use stay. Returns the names of the removed. */
export function removeImages(which: "outdated" | "all"): string[] {
  const going = listImages().filter((image) => !image.inUse && (which === "all" || !image.current));
  for (const image of going) rmSync(image.path, { recursive: true, force: true });
  return going.map((image) => image.name);
}
