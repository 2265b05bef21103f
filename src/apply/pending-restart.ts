import { join } from "node:path";
import { PATHS } from "../model/paths.ts";
import type { Reading } from "../model/reading.ts";
import type { Files } from "../system/host.ts";

/**
 * A unit is due for a restart from before a file that it reads changes until it has been restarted and answered. Kept
 * under /run, which is empty after a boot, when every unit has just been started anyway.
 */
export async function markPending(files: Files, unit: string): Promise<void> {
  await files.write(join(PATHS.pendingRestarts, unit), "", { mode: 0o600 });
}

export async function clearPending(files: Files, unit: string): Promise<void> {
  await files.remove(join(PATHS.pendingRestarts, unit));
}

/** Names of the units that are due. */
export async function observePending(files: Files): Promise<Reading<ReadonlySet<string>>> {
  const names = await files.list(PATHS.pendingRestarts);
  if (names.state === "unknown") return names;
  return { state: "found", value: new Set(names.state === "found" ? names.value : []) };
}
