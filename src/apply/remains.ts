import { dirname } from "node:path";
import { PATHS } from "../model/paths.ts";
import type { Host } from "../system/host.ts";

const HOME = dirname(PATHS.manifest);

/**
 * The end of teardown: uploads, the manifest (every entry of it is put back by now) and jiji's own folder. A folder in
 * which somebody left something stays.
 */
export async function removeRemains(host: Host): Promise<void> {
  const { files } = host;
  await files.remove(PATHS.staging);
  await files.remove(PATHS.pendingRestarts);
  await files.remove(PATHS.manifest);
  const left = await files.list(HOME);
  if (left.state === "found" && left.value.length === 0) await files.remove(HOME);
}
