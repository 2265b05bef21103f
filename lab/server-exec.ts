import { rmdirSync } from "node:fs";
import { join } from "node:path";
import { killCgroup, makeCgroup } from "./cgroups.ts";
import { type ExecResult, run } from "../tools/run.ts";
import { leaderPid, payloadCgroup } from "./server-power.ts";

export interface ServerExecOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** Added to the clean environment. */
  readonly env?: Record<string, string>;
}

const cleanEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  USER: "root",
  LANG: "C.UTF-8",
  TERM: "dumb",
};

let counter = 0;

/** A command line on the machine that runs something in a server, and the cgroup that it runs in. */
export interface EnteredCommand {
  readonly argv: readonly string[];
  readonly cgroup: string;
}

/**
 * The command line for running `argv` as root in a server: all its namespaces, its root, a clean environment, a cgroup
 * of its own below the server's. Throws `ToolError` when the server is switched off.
 */
export function enterServer(id: string, name: string, argv: readonly string[], env = {}): EnteredCommand {
  const leader = leaderPid(id, name);
  const cgroup = join(payloadCgroup(leader), "lab", `exec-${process.pid}-${(counter += 1)}`);
  makeCgroup(cgroup);
  const variables = Object.entries({ ...cleanEnvironment, ...env }).map(([key, value]) => `${key}=${String(value)}`);
  return {
    argv: [
      ...["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup],
      ...["nsenter", "--target", String(leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"],
      ...["--root", "--wd", "env", "-i", "-C", "/root", ...variables, ...argv],
    ],
    cgroup,
  };
}

/** Runs a program as root in a server and resolves when it has ended, whatever its exit code; 127: no such program. */
export async function execInServer(
  id: string,
  name: string,
  argv: readonly string[],
  options: ServerExecOptions = {},
): Promise<ExecResult> {
  const command = enterServer(id, name, argv, options.env);
  try {
    return await run(command.argv, {
      ...(options.input !== undefined && { input: options.input }),
      ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
      onTimeout: () => killCgroup(command.cgroup),
    });
  } finally {
    removeIfEmpty(command.cgroup);
  }
}

/** What a command left running keeps its cgroup. */
export function removeIfEmpty(cgroup: string): void {
  try {
    rmdirSync(cgroup);
  } catch {
    // Busy, or gone with the server.
  }
}
