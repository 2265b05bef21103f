import type { BootstrapScript } from "./bootstrap-script.ts";

/**
 * The port through which the CLI reaches servers. The real adapter uses the system's OpenSSH; tests use servers in
 * memory. Everything that comes back is untrusted: it is parsed, and escaped before it is shown.
 */
export interface Ssh {
  /** Resolves the target by OpenSSH's configuration, without connecting. Throws a JijiError for a broken configuration. */
  resolve(target: SshTarget): Promise<ResolvedTarget>;
  /** Logs in and looks at the server. Throws {@link ConnectError}. */
  connect(target: SshTarget, signal?: AbortSignal): Promise<Connection>;
  /** Ends every connection, even while it is being made, and removes the folder with the control sockets. */
  close(): Promise<void>;
}

export interface SshTarget {
  /** the server's name in deploy.yml, for messages */
  readonly name: string;
  /** name, address or alias; never begins with `-` */
  readonly host: string;
  readonly user: string | undefined;
  readonly port: number | undefined;
}

export interface ResolvedTarget {
  readonly hostName: string;
  readonly user: string;
  readonly port: number;
  /** through a jump host or a proxy command, so `hostName` means something only beyond it */
  readonly viaProxy: boolean;
}

/** What is known of a server right after the login. */
export interface ServerProbe {
  /** `uname -s` and `uname -m` */
  readonly system: string;
  readonly machine: string;
  readonly privilege: "root" | "sudo" | "none";
  /** why sudo gives no root, in its own words */
  readonly sudoSaid?: string | undefined;
  readonly systemd: boolean;
  readonly libc: { readonly kind: "glibc" | "musl" | "other"; readonly version: string };
  /** sizes in bytes of the installed executables and the manifest, by path */
  readonly installed: ReadonlyMap<string, number>;
  /** SHA-256 of the waiting uploads, checked when they arrived */
  readonly staged: ReadonlySet<string>;
  /** the text of /opt/jiji/spec.json; empty when there is none */
  readonly spec: string;
}

export interface Connection {
  readonly probe: ServerProbe;
  /** Starts one of the fixed scripts. The connection may carry several at once. */
  start(script: Exclude<BootstrapScript, "probe">): Session;
  close(): Promise<void>;
}

/** A program that runs on the server. */
export interface Session {
  /** Resolves when there is room for more. Rejects with {@link SessionEnded} when the other side no longer reads. */
  write(data: string | Uint8Array): Promise<void>;
  /** Closes its standard input. */
  end(): void;
  /** Its standard output by lines, each at most 1 MB; may be iterated once. */
  readonly lines: AsyncIterable<string>;
  /** Never rejects. `lost`: the connection broke before the program ended. */
  readonly exited: Promise<SessionEnd>;
  /** Abandons it; the server notices that the streams are closed. */
  kill(): void;
}

export interface SessionEnd {
  readonly code: number;
  /** the last 16 kB */
  readonly stderr: string;
  readonly lost: boolean;
}

/** The program no longer reads its standard input; its end says why. */
export class SessionEnded extends Error {
  constructor() {
    super("the program on the server no longer reads");
    this.name = "SessionEnded";
  }
}

/**
 * - `unreachable`: nobody answers at that address now
 * - `refused`: the server answers and does not let us in
 * - `host-key`: the server is not known, or is another than before
 * - `setup`: ssh itself, its configuration or a jump host is wrong
 */
export type ConnectFailure = "unreachable" | "refused" | "host-key" | "setup";

export class ConnectError extends Error {
  readonly failure: ConnectFailure;
  readonly hint: string;

  constructor(failure: ConnectFailure, message: string, hint: string) {
    super(message);
    this.name = "ConnectError";
    this.failure = failure;
    this.hint = hint;
  }
}
