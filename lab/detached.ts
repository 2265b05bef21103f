import { ToolError } from "../tools/errors.ts";
import { identifyProcess, type ProcessIdentity } from "./process-identity.ts";
import { mustRun } from "../tools/run.ts";

export interface DetachedOptions {
  /** File that its output is added to. */
  readonly log: string;
  /** The cgroup it begins in, as a path below the cgroup file system; default: this process's. */
  readonly cgroup?: string;
  /** Added to an environment that has nothing but PATH. */
  readonly env?: Readonly<Record<string, string>>;
}

/** $0 the log, $1 the cgroup or nothing, then the program; prints the program's process id. */
const script = `
log=$0; cgroup=$1; shift
if [ -n "$cgroup" ]; then echo $$ >"$cgroup/cgroup.procs" || exit; fi
setsid "$@" </dev/null >>"$log" 2>&1 &
echo $!
`;

/**
 * Starts a program that outlives this process: in a session of its own, and no child of this process, since test runners
 * end the children of a test that took too long. Resolves when it runs; throws `ToolError` when it ended at once.
 */
export async function startDetached(argv: readonly string[], options: DetachedOptions): Promise<ProcessIdentity> {
  const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const printed = await mustRun(["sh", "-c", script, options.log, options.cgroup ?? "", ...argv], {
    cwd: "/",
    env: { PATH: path, ...options.env },
  });
  const identity = identifyProcess(Number(printed.trim()));
  if (identity === null) throw new ToolError(`${argv[0]} ended at once`, `see ${options.log}`);
  return identity;
}
