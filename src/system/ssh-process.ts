import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { SessionEnded, type Session, type SessionEnd } from "./connection.ts";
import { splitLines } from "./line-split.ts";

const STDERR_KEPT_BYTES = 16_384;

/** How long standard error may stay open after its program has ended. */
const LAST_WORDS_MS = 300;

/** ssh's own exit code when it, and not the program on the server, failed. */
export const SSH_FAILED = 255;

/**
 * Starts ssh in its own process group, so that Ctrl-C at the terminal reaches only jiji, which then ends its sessions in
 * order. ssh has no terminal either, so it can never ask for a password.
 */
export function startSsh(program: string, argv: readonly string[]): Session {
  const child = spawn(program, argv, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  return sessionOf(child);
}

/** A started program as a {@link Session}. */
export function sessionOf(child: ChildProcessWithoutNullStreams): Session {
  let stderr = Buffer.alloc(0);
  let ended = false;
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = Buffer.concat([stderr, chunk]).subarray(-STDERR_KEPT_BYTES);
  });
  child.stdin.on("error", () => undefined);
  const exited = new Promise<SessionEnd>((resolve) => {
    const finish = (code: number, text?: string): void => {
      ended = true;
      resolve({ code, stderr: text ?? stderr.toString("utf8"), lost: code === SSH_FAILED });
    };
    child.once("error", (error) => finish(SSH_FAILED, `could not start ssh: ${error.message}`));
    // Not "close": that waits for a reader of standard output, and for every program that inherited a stream.
    child.once("exit", (code) => {
      const end = (): void => finish(code ?? SSH_FAILED);
      child.stderr.once("close", end);
      setTimeout(end, LAST_WORDS_MS);
    });
  });
  return {
    lines: splitLines(child.stdout),
    exited,
    async write(data) {
      if (ended || !child.stdin.writable) throw new SessionEnded();
      if (child.stdin.write(data)) return;
      await Promise.race([once(child.stdin, "drain"), exited]).catch(() => undefined);
      if (ended || !child.stdin.writable) throw new SessionEnded();
    },
    end() {
      child.stdin.end();
    },
    kill() {
      child.stdin.destroy();
      // On SIGTERM, an ssh that shares a connection waits for the other side. The master learns of the end by its death.
      // Jump hosts and proxy commands are programs of the same group.
      try {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
      } catch {
        child.kill("SIGKILL");
      }
    },
  };
}
