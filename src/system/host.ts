import type { Reading } from "../model/reading.ts";

/**
 * The ports through which jiji touches the machine that it runs on. system-host.ts is the real one, and only src/bin hands it
 * out. Unit tests use the in-memory host of test/fake-host.ts; contract tests hold both to the same cases.
 */
export interface ProgramResult {
  /** exit code; 128 + signal number when killed */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** Runs programs by argument vector, never through a shell, with a clean environment (PATH, LC_ALL=C). */
export interface Programs {
  /** Rejects only when the program cannot be started ({@link ProgramMissing}) or the time is up. */
  run(argv: readonly [string, ...string[]], options?: RunOptions): Promise<ProgramResult>;
}

/** The program is not installed (ENOENT). */
export class ProgramMissing extends Error {
  readonly program: string;

  constructor(program: string) {
    super(`${program} is not installed`);
    this.name = "ProgramMissing";
    this.program = program;
  }
}

export interface FileStat {
  readonly type: "file" | "folder" | "link" | "other";
  /** permission bits, e.g. 0o644 */
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  readonly sizeBytes: number;
  /** where a link points */
  readonly target?: string;
}

export interface FileOwner {
  readonly mode: number;
  /** user and group by name; default root */
  readonly owner?: string;
  readonly group?: string;
}

/** Files of this machine. Paths are absolute. Reads are three-valued; writes throw on failure. */
export interface Files {
  read(path: string): Promise<Reading<string>>;
  stat(path: string): Promise<Reading<FileStat>>;
  list(folder: string): Promise<Reading<readonly string[]>>;
  /** Temporary file beside it, fsync, mode and owner, rename. Makes missing folders (0755 root). */
  write(path: string, content: string | Uint8Array, owner: FileOwner): Promise<void>;
  makeFolder(path: string, owner: FileOwner): Promise<void>;
  link(path: string, target: string): Promise<void>;
  /** rename(2) within one file system */
  move(from: string, to: string): Promise<void>;
  setOwner(path: string, owner: FileOwner): Promise<void>;
  /** Removes a file, link or whole folder; absent is fine. */
  remove(path: string): Promise<void>;
  /**
   * Waits for the lock file at that path, which only root can hold, and does the work under it. The lock of a process that
   * dies is free. Rejects when the lock is not free within 10 s. Not reentrant.
   */
  withLock<T>(path: string, work: () => Promise<T>): Promise<T>;
  /** SHA-256 of the content in lower-case hex, read as a stream */
  hash(path: string): Promise<Reading<string>>;
}

export interface Clock {
  /** Unix time in ms; for display and `rev` only, never compared between hosts */
  nowMs(): number;
  /** monotonic ms, for durations */
  monotonicMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Host {
  readonly programs: Programs;
  readonly files: Files;
  readonly clock: Clock;
}

/** Lines for the journal. One event of interest each; never one per packet or per poll. */
export interface Log {
  info(line: string): void;
  warn(line: string): void;
}
