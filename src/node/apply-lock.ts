import { JijiError } from "../model/errors.ts";
import { PATHS } from "../model/paths.ts";
import type { NodeGoal } from "../plan/goal.ts";
import { systemClock } from "../system/clock.ts";
import { systemFiles } from "../system/files.ts";
import { removeLocks, takeLock, type HeldLock } from "../system/flock.ts";

const WAIT_MS = 120_000;
const PAUSE_MS = 200;

/** Does the work while no other apply or repair runs on this server; waits for one that does. */
export function withApplyLock<T>(goal: NodeGoal, work: () => Promise<T>): Promise<T> {
  return withChangeLock(`jiji node apply (${goal.phase})`, work);
}

/** The same for another change of what apply writes; `what` is said to whoever waits. */
export async function withChangeLock<T>(what: string, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(what);
  try {
    return await work();
  } finally {
    await removeLocksIfLeft([PATHS.applyLock]);
    await lock.release();
  }
}

async function waitForLock(what: string): Promise<HeldLock> {
  const end = systemClock.monotonicMs() + WAIT_MS;
  for (;;) {
    const result = await takeLock(PATHS.applyLock, `${what}, process ${process.pid}`);
    if (result.state === "held") return result.lock;
    if (systemClock.monotonicMs() >= end) {
      throw new JijiError("conflict", `another change is under way on this server: ${result.holder}`, {
        hint: "wait until it has ended, then run the command again",
      });
    }
    await systemClock.sleep(PAUSE_MS);
  }
}

/**
 * After teardown, or when nothing was ever set up, the locks and their folder are not left behind; uploads that wait
 * for a setup do not count. To be called while the lock is held: whoever waits for it notices that the file is another
 * one by then.
 */
export async function removeLocksIfLeft(paths: readonly string[]): Promise<void> {
  const manifest = await systemFiles.stat(PATHS.manifest);
  if (manifest.state === "absent") await removeLocks(paths);
}
