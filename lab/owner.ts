import { join } from "node:path";
import { removeLab } from "./remove-lab.ts";

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const owned = new Map<string, () => void>();

/**
 * Ties a lab's life to this process: at SIGINT, SIGTERM or SIGHUP the lab is taken down and the process ends with the
 * signal's exit code; at any other end that leaves time, a child takes it down. `disownLab` ends the tie.
 *
 * `start` begins at once to bring the lab up, and is to look at the signal between its steps: what it makes after it was
 * interrupted would be left behind. Resolves and rejects as `start` does; never, once interrupted.
 */
export async function ownLab<T>(id: string, start: (interrupted: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  let starting: Promise<unknown> = Promise.resolve();
  const handlers = Object.entries(signals).map(([signal, code]) => {
    const handler = () => {
      disownLab(id);
      console.error(`\ntaking the lab ${id} down …`);
      interruption.abort();
      void takeDown(id, starting).finally(() => process.exit(code));
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
  const started = start(interruption.signal);
  starting = started.catch(() => undefined);
  await starting;
  // The process is about to end with the signal's exit code: its failing must not get in the way.
  if (interruption.signal.aborted) return await new Promise<never>(() => undefined);
  return await started;
}

/** From now on the lab outlives this process, or is gone already. */
export function disownLab(id: string): void {
  owned.get(id)?.();
  owned.delete(id);
}

/** What still brings the lab up fails when things vanish under it; what it made meanwhile goes the second time. */
async function takeDown(id: string, starting: Promise<unknown>): Promise<void> {
  await removeLab(id).catch(() => undefined);
  await Promise.race([starting, Bun.sleep(30_000)]);
  await removeLab(id);
}
