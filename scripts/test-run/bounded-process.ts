import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The repository's root folder. */
export const repository = join(import.meta.dir, "..", "..");

export interface BoundedOptions {
  readonly timeoutMs: number;
  /** added to this process's environment */
  readonly env?: Readonly<Record<string, string>>;
  /** output as it comes, both streams */
  readonly onOutput?: (text: string) => void;
  /** a group with more resident memory is killed before it exhausts the machine's; Linux only */
  readonly maxMegabytes?: number;
  /** how long the process may tidy up after SIGTERM before its group is killed */
  readonly graceMs?: number;
}

export interface Ended {
  /** 128 + signal number when it was killed */
  readonly code: number;
  /** both streams in the order in which they came */
  readonly output: string;
  readonly stdout: string;
  readonly timedOut: boolean;
  /** it used more memory than allowed, and was killed */
  readonly outgrew: boolean;
  readonly durationMs: number;
  readonly pid: number;
}

const running = new Map<number, () => void>();

/**
 * Runs a program in a process group of its own, without standard input, in the repository's folder. When the time is
 * up the program itself gets SIGTERM, so that it can take down what it made, and after the grace the whole group gets
 * SIGKILL; the group is also killed after a normal end, so nothing is left behind. Rejects only when it cannot start.
 */
export async function runBounded(argv: readonly string[], options: BoundedOptions): Promise<Ended> {
  const started = performance.now();
  const child = Bun.spawn([...argv], {
    cwd: repository,
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  let killTimer: Timer | undefined;
  const end = () => {
    signalGroup(child.pid, "SIGTERM", false);
    killTimer ??= setTimeout(() => signalGroup(child.pid, "SIGKILL", true), options.graceMs ?? 5_000);
  };
  running.set(child.pid, end);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    end();
  }, options.timeoutMs);

  let outgrew = false;
  const { maxMegabytes = Number.POSITIVE_INFINITY } = options;
  const watch = setInterval(() => {
    if (outgrew || maxMegabytes === Number.POSITIVE_INFINITY || residentMegabytes(child.pid) <= maxMegabytes) return;
    outgrew = true;
    // No time to tidy up: a runaway fills the machine in seconds.
    signalGroup(child.pid, "SIGKILL", true);
  }, 1_000);

  const chunks: string[] = [];
  const take = (text: string) => {
    chunks.push(text);
    options.onOutput?.(text);
  };
  let stdout = "";
  const takeStdout = (text: string) => {
    stdout += text;
    take(text);
  };
  const closed = Promise.all([drain(child.stdout, takeStdout), drain(child.stderr, take)]);
  const code = await child.exited;
  clearTimeout(timer);
  clearTimeout(killTimer);
  clearInterval(watch);
  running.delete(child.pid);
  signalGroup(child.pid, "SIGKILL", true);
  // A descendant in another group may hold the pipes open for ever.
  const patience = Promise.withResolvers<void>();
  const patienceTimer = setTimeout(patience.resolve, 2_000);
  await Promise.race([closed, patience.promise]);
  clearTimeout(patienceTimer);
  const durationMs = performance.now() - started;
  return { code, output: chunks.join(""), stdout, timedOut, outgrew, durationMs, pid: child.pid };
}

/** Ends everything that runs, as a time limit would. */
export function endRunning(): void {
  for (const end of running.values()) end();
}

function signalGroup(pid: number, signal: NodeJS.Signals, whole: boolean): void {
  try {
    process.kill(whole ? -pid : pid, signal);
  } catch {
    // It has ended.
  }
}

/** Of all processes in the group; 0 where it cannot be told. */
function residentMegabytes(group: number): number {
  if (process.platform !== "linux") return 0;
  const pages = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .reduce((sum, pid) => sum + residentPages(pid, group), 0);
  return (pages * PAGE_BYTES) / 2 ** 20;
}

const PAGE_BYTES = 4096;

/** proc_pid_stat(5): after the name in parentheses, the group is the 3rd field and the resident set the 22nd. */
function residentPages(pid: string, group: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return Number(fields[2]) === group ? Number(fields[21]) : 0;
  } catch {
    // It has ended.
    return 0;
  }
}

async function drain(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) take(decoder.decode(bytes, { stream: true }));
}
