import { constants } from "node:os";
import { PROGRAM_PATH } from "../model/paths.ts";
import { ProgramMissing, type ProgramResult, type Programs, type RunOptions } from "./host.ts";

const DEFAULT_TIMEOUT_MS = 120_000;

/** How long to wait for the output after the exit: a daemon that the program leaves behind may hold it open. */
const OUTPUT_GRACE_MS = 1000;

/** A program did not end in time; it was killed. */
export class ProgramTimeout extends Error {
  constructor(argv: readonly string[], timeoutMs: number) {
    super(`${argv.slice(0, 3).join(" ")} did not end within ${timeoutMs / 1000} s`);
    this.name = "ProgramTimeout";
  }
}

/** Starts real programs: no shell, nothing of our own environment, standard input closed after `input`. */
export const systemPrograms: Programs = {
  async run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<ProgramResult> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const child = spawn(argv, options.input);
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    await child.exited;
    clearTimeout(timer);
    await atMost(OUTPUT_GRACE_MS, Promise.all([stdout.done, stderr.done]));
    if (timedOut) throw new ProgramTimeout(argv, timeoutMs);
    return { code: exitCode(child), stdout: stdout.text(), stderr: stderr.text() };
  },
};

/** Resolves with the work or when the time is up, and leaves no timer behind that would keep this process from ending. */
async function atMost(timeMs: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, timeMs)))]);
  clearTimeout(timer);
}

function spawn(argv: readonly [string, ...string[]], input: string | Uint8Array | undefined) {
  try {
    return Bun.spawn([...argv], {
      env: { PATH: PROGRAM_PATH, LC_ALL: "C" },
      cwd: "/",
      stdin: input === undefined ? "ignore" : typeof input === "string" ? Buffer.from(input, "utf8") : input,
      stdout: "pipe",
      stderr: "pipe",
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new ProgramMissing(argv[0]);
    throw error;
  }
}

function exitCode(child: {
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | number | null;
}): number {
  const signal = child.signalCode;
  if (signal !== null) return 128 + (typeof signal === "number" ? signal : constants.signals[signal]);
  return child.exitCode ?? 255;
}

function collect(stream: ReadableStream<Uint8Array>): { readonly done: Promise<void>; text(): string } {
  const chunks: Uint8Array[] = [];
  const done = (async () => {
    for await (const chunk of stream) chunks.push(chunk);
  })().catch(() => undefined);
  return { done, text: () => Buffer.concat(chunks).toString("utf8") };
}
