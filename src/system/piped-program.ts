import { spawn } from "node:child_process";
import { PROGRAM_PATH } from "../model/paths.ts";
import { splitLines } from "./line-split.ts";

/** A running program whose output is read as it comes. */
export interface PipedProgram {
  /** standard output by lines, at the reader's pace; may be iterated once */
  readonly lines: AsyncIterable<string>;
  /** never rejects */
  readonly exited: Promise<PipedEnd>;
  /** ends it at once */
  kill(): void;
}

export interface PipedEnd {
  /** null when a signal ended it */
  readonly code: number | null;
  readonly signal: string | null;
  /** the last 4 kB of standard error; why it could not be started, if it could not */
  readonly stderr: string;
}

/** Starts a program by its argument vector, never through a shell, and gives it `input` as its standard input. */
export type StartPiped = (argv: readonly [string, ...string[]], input: string) => PipedProgram;

const STDERR_KEPT_BYTES = 4096;

/** On this machine, in `/` and with a clean environment. */
export const startPiped: StartPiped = ([program, ...args], input) => {
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    cwd: "/",
    env: { PATH: PROGRAM_PATH, LC_ALL: "C" },
  });
  let stderr = Buffer.alloc(0);
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = Buffer.concat([stderr, chunk]).subarray(-STDERR_KEPT_BYTES);
  });
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const exited = new Promise<PipedEnd>((resolve) => {
    child.once("error", (error) => resolve({ code: 127, signal: null, stderr: error.message }));
    child.once("close", (code, signal) => resolve({ code, signal, stderr: stderr.toString("utf8") }));
  });
  return { lines: splitLines(child.stdout), exited, kill: () => void child.kill("SIGKILL") };
};
