import { PATHS } from "../model/paths.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { takeLock } from "../system/flock.ts";
import { removeLocksIfLeft } from "./apply-lock.ts";
import type { Call } from "./call.ts";

/**
 * `jiji node lock`: takes this server's lock without waiting and holds it until the end of standard input, so the lock is
 * free again when the CLI dies.
 */
export async function runNodeLock(
  { holder }: CheckedRequestOf<"lock">,
  { closed, say }: Call<"lock">,
  path: string = PATHS.lock,
): Promise<void> {
  const result = await takeLock(path, holder);
  if (result.state === "busy") return say({ type: "busy", holder: result.holder });
  say({ type: "held" });
  await closed;
  await removeLocksIfLeft([path]);
  await result.lock.release();
}
