import { ToolError } from "../tools/errors.ts";

export interface HeldLock {
  release(): Promise<void>;
}

/**
 * Takes an exclusive flock on a file (made when missing), waiting for whoever has it. The kernel frees it when this
 * process ends in any way: a child holds it for as long as its standard input, a pipe from here, stays open.
 */
export async function acquireLock(path: string): Promise<HeldLock> {
  const child = Bun.spawn(["flock", "--exclusive", path, "sh", "-c", "echo locked; exec cat >/dev/null"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const first = await reader.read();
  if (first.done) throw new ToolError(`cannot lock ${path}`);
  return {
    async release() {
      await child.stdin.end();
      await child.exited;
    },
  };
}

/** Runs `work` while holding the lock. */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = await acquireLock(path);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
