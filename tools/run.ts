import { ToolError } from "./errors.ts";

/** What a finished program left: its exit code (128 + signal when it was killed) and its whole output. */
export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** The whole environment, not an addition; default: this process's. */
  readonly env?: Record<string, string>;
  /** After this time the program is killed and a `ToolError` is thrown; default: no limit. */
  readonly timeoutMs?: number;
  readonly onStdout?: (chunk: string) => void;
  readonly onStderr?: (chunk: string) => void;
  /** Called at a timeout instead of killing the one process, where more than it must end. */
  readonly onTimeout?: () => void;
}

/**
 * Runs a program by its argument list (never through a shell) and resolves when it has ended and its output is closed,
 * whatever its exit code. A program that leaves a daemon behind must redirect the daemon's output.
 *
 * Throws `ToolError` when the program does not exist or exceeds its time.
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<ExecResult> {
  const child = spawn(argv, options);
  let timedOut = false;
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          if (options.onTimeout === undefined) child.kill("SIGKILL");
          else options.onTimeout();
        }, options.timeoutMs);
  try {
    const [stdout, stderr] = await Promise.all([
      collect(child.stdout, options.onStdout),
      collect(child.stderr, options.onStderr),
    ]);
    await child.exited;
    if (timedOut) {
      const tail = (stderr + stdout).trim().slice(-500);
      throw new ToolError(`${format(argv)} did not end within ${options.timeoutMs} ms${tail && `; it said: ${tail}`}`);
    }
    return { code: child.exitCode ?? 128 + signalNumber(child.signalCode), stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** Like `run`, but resolves to standard output and throws `ToolError` with the end of the output when the exit code is not 0. */
export async function mustRun(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code !== 0) {
    const tail = (result.stdout + result.stderr).trim().slice(-1500);
    throw new ToolError(`${format(argv)} failed (exit ${result.code})${tail && `:\n${tail}`}`);
  }
  return result.stdout;
}

function spawn(argv: readonly string[], options: RunOptions) {
  try {
    return Bun.spawn([...argv], {
      stdin: options.input === undefined ? "ignore" : new Blob([options.input as string]),
      stdout: "pipe",
      stderr: "pipe",
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      env: options.env ?? process.env,
    });
  } catch (error) {
    throw new ToolError(`cannot start ${argv[0]}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  onChunk: ((chunk: string) => void) | undefined,
): Promise<string> {
  if (onChunk === undefined) return await new Response(stream).text();
  const decoder = new TextDecoder();
  let all = "";
  for await (const bytes of stream) {
    const chunk = decoder.decode(bytes, { stream: true });
    all += chunk;
    onChunk(chunk);
  }
  return all;
}

function format(argv: readonly string[]): string {
  const text = argv.join(" ");
  return text.length > 160 ? `${text.slice(0, 157)}…` : text;
}

function signalNumber(signal: string | number | null): number {
  return { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal ?? ""] ?? 0;
}
