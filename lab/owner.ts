import { join } from "node:path";
import { findRemains, removeLab } from "./remove-lab.ts";

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const owned = new Map<string, () => void>();

/**
 * Ties a lab's life to this process: at SIGINT, SIGTERM or SIGHUP the lab is taken down and the process ends with the
 * signal's exit code; at any other end that leaves time, a child takes it down. `disownLab` ends the tie.
 */
export function ownLab(id: string): void {
  const handlers = Object.entries(signals).map(([signal, code]) => {
    const handler = () => {
      disownLab(id);
      console.error(`\ntaking the lab ${id} down …`);
      void removeWhileStarting(id).finally(() => process.exit(code));
    };
    process.once(signal, handler);
    return () => process.off(signal, handler);
  });
  const atExit = () => {
    const cli = join(import.meta.dir, "cli.ts");
    Bun.spawnSync([process.execPath, "--no-env-file", cli, "down", "--id", id], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  };
  process.on("exit", atExit);
  owned.set(id, () => {
    for (const off of handlers) off();
    process.off("exit", atExit);
  });
}

/** From now on the lab outlives this process, or is gone already. */
export function disownLab(id: string): void {
  owned.get(id)?.();
  owned.delete(id);
}

/** What is still bringing the lab up fails as soon as things vanish, but may have made others meanwhile. */
async function removeWhileStarting(id: string): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    await removeLab(id);
    await Bun.sleep(50);
    if (findRemains(id).length === 0) return;
  }
}
