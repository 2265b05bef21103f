import type { Clock } from "../system/host.ts";
import type { Ssh } from "../system/connection.ts";
import type { SshSettings } from "../system/ssh-config-text.ts";
import type { CorrosionSource } from "./corrosion/release.ts";

/** Where text is written to. */
export interface TextSink {
  write(text: string): void;
  /** Resolves when there is room for more, with false when the reader is gone. Absent: there is always room. */
  room?(): Promise<boolean>;
  readonly isTerminal: boolean;
  /** width in characters; undefined when it is no terminal */
  readonly columns: number | undefined;
}

/**
 * Everything that a command uses of the operator's machine. The entry point builds the real one. Tests give another, so
 * whole commands run in one process.
 */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** absolute */
  readonly cwd: string;
  readonly home: string;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** whether a person can be asked */
  readonly canAsk: boolean;
  /** Asks a yes-or-no question; no is the default. Rejects when the person presses Ctrl-C. */
  ask(question: string): Promise<boolean>;
  openSsh(settings: SshSettings): Ssh;
  /** Numeric addresses of a host name, as the system looks it up. Rejects with an error that has `code`. */
  lookup(host: string): Promise<readonly string[]>;
  readonly clock: Clock;
  /** user@host, shown to others that wait for a lock */
  readonly self: string;
  /** folder with release.json and the executables for servers */
  readonly releaseFolder: string;
  /** where downloads are kept */
  readonly cacheFolder: string;
  readonly corrosion: CorrosionSource;
  /** aborted by Ctrl-C */
  readonly interrupted: AbortSignal;
}
