import { join } from "node:path";
import { PATHS } from "../model/paths.ts";
import { HOME } from "../plan/kinds/folder.ts";
import type { Host } from "../system/host.ts";

/** Held while teardown runs; whoever holds them removes them. */
const LOCKS: readonly string[] = [PATHS.lock, PATHS.applyLock];

/**
 * The end of teardown: uploads, what services left under /run, the manifest (every entry of it is put back by now) and
 * jiji's own folder. A folder in which somebody left something stays.
 */
export async function removeRemains({ files }: Host): Promise<void> {
  await files.remove(PATHS.staging);
  const run = await files.list(PATHS.run);
  for (const name of run.state === "found" ? run.value : []) {
    const path = join(PATHS.run, name);
    if (!LOCKS.includes(path)) await files.remove(path);
  }
  await files.remove(PATHS.manifest);
  const left = await files.list(HOME);
  if (left.state === "found" && left.value.length === 0) await files.remove(HOME);
}
