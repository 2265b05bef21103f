import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

/** The server's core, and the load's. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

/** A server that runs on the server's core. */
export interface Running {
  readonly pid: number;
  /** what it wrote to standard output so far */
  readonly output: () => string;
  /** processor time of all its threads so far */
  readonly processorMs: () => number;
  readonly memory: () => Memory;
  /** Ends it, and waits until it has ended. */
  stop(): Promise<void>;
}

/** Resident memory in megabytes: all of it, and the part that is no file (proc(5), VmRSS and RssAnon). */
export interface Memory {
  readonly rss: number;
  readonly anonymous: number;
}

const STOP_MS = 5_000;

/** Everything that was started and has not ended, so that nothing outlives this process. */
const alive = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));

/**
 * Starts a program on these cores, with an environment of nothing but PATH, in a session of its own: as services and
 * containers do, it shares the processor with the others as a group (sched(7), autogroup).
 */
export function startPinned(argv: readonly string[], folder: string, cores: readonly number[]): Running {
  const child = spawn("taskset", ["-c", cores.join(","), ...argv], {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  alive.add(child);
  let output = "";
  let problems = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (problems = (problems + chunk.toString()).slice(-4_000)));
  const state = { isStopping: false };
  const ended = new Promise<void>((resolve) => {
    child.on("error", (error) => (problems += error.message));
    child.on("close", (code, signal) => {
      alive.delete(child);
      if (!state.isStopping) console.error(`${argv[0]} ended early (${code ?? signal}):\n${problems}`);
      resolve();
    });
  });
  // taskset becomes the program itself, so the process is the server's.
  const { pid = 0 } = child;
  const threads = new Map<string, number>();
  return {
    pid,
    output: () => output,
    processorMs: () => processorMs(pid, threads),
    memory: () => memoryOf(pid),
    stop: async () => {
      state.isStopping = true;
      child.kill("SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(killer);
    },
  };
}

/**
 * Time on a processor of all threads, from the scheduler's own books (proc(5), schedstat: nanoseconds). Threads that have
 * ended count with what was seen of them last.
 */
function processorMs(pid: number, threads: Map<string, number>): number {
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [nanoseconds] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      threads.set(thread, Number(nanoseconds));
    } catch {
      // It has ended since the folder was read.
    }
  }
  return threads.values().reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6;
}

/** Gives the session of a process, as a group, the weight of a nice value; nothing happens where the kernel has no such groups. */
export function weighMore(pid: number, nice: number): void {
  const path = `/proc/${pid}/autogroup`;
  if (existsSync(path)) writeFileSync(path, `${nice}`);
}

/** Datagrams that the kernel dropped because sockets at this port had no room for them, since these were opened (proc_net(5)). */
export function droppedAtPort(port: number): number {
  const [, ...sockets] = readFileSync("/proc/net/udp", "utf8").trim().split("\n");
  const atPort = sockets
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = ""]) => {
      return Number.parseInt(local.split(":")[1] ?? "", 16) === port;
    });
  return atPort.reduce((sum, fields) => sum + Number(fields.at(-1)), 0);
}

function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const megabytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1000;
  return { rss: megabytes("VmRSS") * 1.024, anonymous: megabytes("RssAnon") * 1.024 };
}

/** Runs a program to its end and gives its standard output. Throws with what it said when it failed. */
export async function runProgram(argv: readonly string[]): Promise<string> {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  alive.add(child);
  let output = "";
  let problems = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (problems += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => {
    child.on("error", (error) => {
      problems += error.message;
      resolve(1);
    });
    child.on("close", resolve);
  });
  alive.delete(child);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed (exit ${code}): ${problems}`);
  return output;
}
