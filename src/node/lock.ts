import { PATHS } from "../model/paths.ts";
import { lockRequestSchema } from "../model/node/lock.ts";
import { takeLock } from "../system/flock.ts";
import { removeLocksIfLeft } from "./apply-lock.ts";
import { reportFailure, type Out } from "./out.ts";
import { parseRequest } from "./requests.ts";

/**
 * `jiji node lock`: takes this server's lock without waiting and holds it until `closed`, the end of standard input, so
 * that a CLI that died frees it. First line out: whether it is held, or by whom. Exit 0 either way.
 */
export async function runNodeLock(
  input: string,
  closed: Promise<void>,
  out: Out,
  path: string = PATHS.lock,
): Promise<number> {
  try {
    const { holder } = parseRequest(lockRequestSchema, input);
    const result = await takeLock(path, holder);
    if (result.state === "busy") {
      out({ type: "busy", holder: result.holder });
      return 0;
    }
    out({ type: "held" });
    await closed;
    await removeLocksIfLeft([path]);
    await result.lock.release();
    return 0;
  } catch (error) {
    return reportFailure(error, out);
  }
}
