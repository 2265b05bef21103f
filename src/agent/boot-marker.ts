import { join } from "node:path";
import type { Files } from "../system/host.ts";

/**
 * Whether this server's rows were compared with its engine since it booted. A file in /run says so, since /run is empty
 * after a boot: an agent that is merely restarted must not take the server's names away until it has looked again.
 */
export interface BootMarker {
  readonly isReady: boolean;
  markReady(): Promise<void>;
}

export async function openBootMarker(folder: string, files: Files): Promise<BootMarker> {
  const path = join(folder, "compared");
  const stat = await files.stat(path);
  return {
    isReady: stat.state === "found" && stat.value.type === "file",
    markReady: () => files.write(path, "", { mode: 0o600 }),
  };
}
