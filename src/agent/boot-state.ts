import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../model/json.ts";
import type { Files } from "../system/host.ts";

/**
 * What an agent that is merely restarted must not forget: kept beside its sockets in /run, which is empty after a boot.
 *
 * - whether this server's rows were compared with its engine since it booted,
 * - who was unreachable, since only an echo may restore them,
 * - which containers were drained by command.
 */
export interface BootState {
  readonly isCompared: boolean;
  readonly lost: ReadonlySet<string>;
  readonly drains: string;
  saveCompared(): void;
  saveLost(ids: readonly string[]): void;
  saveDrains(text: string): void;
  /** Resolves when everything is on disk. */
  flush(): Promise<void>;
}

const lostSchema = z.array(z.string());

/** Reads what stands in the folder; what cannot be read counts as not there. Saving never throws. */
export async function openBootState(folder: string, files: Files): Promise<BootState> {
  const paths = { compared: join(folder, "compared"), lost: join(folder, "lost"), drains: join(folder, "drains") };
  const stat = await files.stat(paths.compared);
  const lost = await files.read(paths.lost);
  const drains = await files.read(paths.drains);
  let last = Promise.resolve();
  const save = (path: string, text: string): void => {
    last = last.then(() => files.write(path, text, { mode: 0o600 })).catch(() => undefined);
  };
  return {
    isCompared: stat.state === "found" && stat.value.type === "file",
    lost: new Set(lost.state === "found" ? parseJson(lost.value, lostSchema) : []),
    drains: drains.state === "found" ? drains.value : "",
    saveCompared: () => save(paths.compared, ""),
    saveLost: (ids) => save(paths.lost, JSON.stringify(ids)),
    saveDrains: (text) => save(paths.drains, text),
    flush: () => last,
  };
}
