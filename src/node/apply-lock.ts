import { JijiError } from "../model/errors.ts";
import { PATHS } from "../model/paths.ts";
import type { NodeGoal } from "../plan/goal.ts";
import { systemFiles } from "../system/files.ts";
import { removeLocks, waitForLock } from "../system/flock.ts";

const WAIT_MS = 120_000;

/** Does the work while no other apply or repair runs on this server; waits for one that does. */
export async function withApplyLock<T>(goal: NodeGoal, work: () => Promise<T>): Promise<T> {
  const holder = `jiji node apply (${goal.phase}), process ${process.pid}`;
  const result = await waitForLock(PATHS.applyLock, holder, WAIT_MS);
  if (result.state === "busy") {
    throw new JijiError("conflict", `another change is under way on this server: ${result.holder}`, {
      hint: "wait until it has ended, then run the command again",
    });
  }
  try {
    return await work();
  } finally {
    await removeLocksIfLeft([PATHS.applyLock]);
    await result.lock.release();
  }
}

/**
 * Removes the locks and their folder when jiji is not set up here: after teardown, or before any setup. Uploads that wait
 * for a setup do not count. Call it while the lock is held: whoever waits for the lock notices that its file is gone.
 */
export async function removeLocksIfLeft(paths: readonly string[]): Promise<void> {
  const manifest = await systemFiles.stat(PATHS.manifest);
  if (manifest.state === "absent") await removeLocks(paths);
}
