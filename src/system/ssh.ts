import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JijiError } from "../model/errors.ts";
import { Semaphore } from "../model/semaphore.ts";
import { showText } from "../model/shown-text.ts";
import { afterMarker, MARKER } from "./answer-marker.ts";
import { remoteCommand } from "./bootstrap-script.ts";
import {
  ConnectError,
  type Connection,
  type ResolvedTarget,
  type Session,
  type Ssh,
  type SshTarget,
} from "./connection.ts";
import { parseProbe } from "./probe-answer.ts";
import { FORCED_OPTIONS, renderSshConfig, type SshSettings } from "./ssh-config-text.ts";
import { describeSshFailure } from "./ssh-failure.ts";
import { SSH_FAILED, startSsh } from "./ssh-process.ts";

/** A control socket's path must stay below 104 bytes, of which ssh needs 17 for a temporary name. */
const LONGEST_FOLDER = 80;

/** How long a server may take to close a connection before it is cut. */
const CLOSE_TIMEOUT_MS = 1000;

/** sshd, on servers and on jump hosts, drops logins beyond MaxStartups (10:30:100). */
const CONNECTS_AT_ONCE = 8;

/**
 * The system's OpenSSH: its configuration, keys, agent, jump hosts and known hosts apply. Everything that runs on one
 * server shares one connection, whose socket is in a folder that only this user can enter.
 */
export function openSsh(settings: SshSettings, program = "ssh"): Ssh {
  const folder = makeFolder();
  const config = join(folder, "config");
  writeFileSync(config, renderSshConfig(settings), { mode: 0o600 });
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
  // A program that ends at once, by a second Ctrl-C, leaves no ssh behind.
  const leaveNothing = (): void => {
    for (const session of [...connecting, ...masters]) session.kill();
    removeFolder();
  };
  process.once("exit", leaveNothing);
  const connecting = new Set<Session>();
  const masters = new Set<Session>();
  const connects = new Semaphore(CONNECTS_AT_ONCE);
  let count = 0;
  let isClosed = false;
  return {
    resolve: (target) => resolveTarget(program, sshArguments(settings, config, target), target),
    async connect(target, signal) {
      const socket = join(folder, `${++count}`);
      const leave = await connects.enter();
      let master: Session | undefined;
      const started = (session: Session): void => void connecting.add((master = session));
      try {
        if (isClosed) throw new ConnectError("setup", "the command has ended", "run it again");
        return await connect({ program, settings, config, socket, target, signal, started });
      } finally {
        if (master !== undefined) {
          connecting.delete(master);
          masters.add(master);
        }
        leave();
      }
    },
    async close() {
      isClosed = true;
      for (const session of connecting) session.kill();
      await Promise.all([...masters].map(closeMaster));
      removeFolder();
      process.off("exit", leaveNothing);
    },
  };
}

function makeFolder(): string {
  for (const parent of [process.env["XDG_RUNTIME_DIR"], tmpdir(), "/tmp"]) {
    if (parent === undefined || !parent.startsWith("/") || parent.length > LONGEST_FOLDER || /["%\\]/.test(parent))
      continue;
    try {
      return mkdtempSync(join(parent, "jiji-"));
    } catch {
      // It does not exist or is not writable: try the next one.
    }
  }
  mkdirSync("/tmp", { recursive: true });
  return mkdtempSync("/tmp/jiji-");
}

/** The options of ssh. The caller adds `--`, so that the host is never read as an option, the host and the command. */
export function sshArguments(settings: SshSettings, config: string, target: SshTarget): string[] {
  return [
    "-F",
    config,
    ...FORCED_OPTIONS.flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...(settings.proxy === undefined ? [] : ["-o", `ProxyJump=${settings.proxy}`]),
    ...(settings.proxyCommand === undefined ? [] : ["-o", `ProxyCommand=${settings.proxyCommand}`]),
    ...(target.user === undefined ? [] : ["-l", target.user]),
    ...(target.port === undefined ? [] : ["-p", `${target.port}`]),
    "-T",
  ];
}

async function resolveTarget(program: string, argv: readonly string[], target: SshTarget): Promise<ResolvedTarget> {
  const session = startSsh(program, [...argv, "-G", "--", target.host]);
  session.end();
  const values = new Map<string, string>();
  for await (const line of session.lines) {
    const space = line.indexOf(" ");
    if (space > 0 && !values.has(line.slice(0, space))) values.set(line.slice(0, space), line.slice(space + 1));
  }
  const end = await session.exited;
  if (end.code !== 0) {
    if (end.stderr.startsWith("could not start ssh")) {
      throw new JijiError("connection", "ssh is not installed on this machine", { hint: "install OpenSSH's client" });
    }
    const failure = describeSshFailure(end.stderr, destination(target), 0);
    throw new JijiError("connection", failure.message, { server: target.name, hint: failure.hint });
  }
  const isSet = (name: string): boolean => !["", "none"].includes(values.get(name) ?? "");
  return {
    hostName: values.get("hostname") ?? target.host,
    user: values.get("user") ?? "",
    port: Number(values.get("port") ?? 22),
    viaProxy: isSet("proxyjump") || isSet("proxycommand"),
  };
}

/** As a person would type it. */
function destination(target: SshTarget): string {
  const port = target.port === undefined ? "" : `-p ${target.port} `;
  return `${port}${target.user === undefined ? "" : `${target.user}@`}${target.host}`;
}

interface ConnectRequest {
  readonly program: string;
  readonly settings: SshSettings;
  readonly config: string;
  readonly socket: string;
  readonly target: SshTarget;
  readonly signal: AbortSignal | undefined;
  /** called with the program that will hold the connection, before it is known whether the login succeeds */
  readonly started: (master: Session) => void;
}

async function connect(request: ConnectRequest): Promise<Connection> {
  const { program, settings, config, socket, target, signal } = request;
  signal?.throwIfAborted();
  const common = sshArguments(settings, config, target);
  const master = startSsh(program, [
    ...common,
    ...["-o", "ControlMaster=yes", "-o", `ControlPath=${socket}`, "-o", "ControlPersist=no"],
    ...["--", target.host, remoteCommand("probe", "root")],
  ]);
  request.started(master);
  const onAbort = (): void => master.kill();
  signal?.addEventListener("abort", onAbort, { once: true });
  // ssh's own ConnectTimeout covers the connection only; a server that accepts it and then stays silent needs this one.
  const timer = setTimeout(() => master.kill(), settings.timeoutMs + 10_000);
  try {
    const probe = parseProbe(await readToEnd(master));
    if (probe === undefined) throw await loginFailure(master, target, settings.timeoutMs);
    const { privilege } = probe;
    return {
      probe,
      start(name) {
        const command = remoteCommand(name, privilege === "sudo" ? "sudo" : "root");
        // If the shared connection is gone, this must fail instead of opening another one.
        const shared = ["-o", "ControlMaster=no", "-o", `ControlPath=${socket}`, "-o", "ProxyCommand=false"];
        const session = startSsh(program, [...withoutProxy(common), ...shared, "--", target.host, command]);
        return { ...session, lines: afterMarker(session.lines) };
      },
      close: () => closeMaster(master),
    };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    if (signal?.aborted === true) master.kill();
  }
}

function withoutProxy(argv: readonly string[]): string[] {
  const isProxy = (word: string | undefined): boolean => /^Proxy(Jump|Command)=/.test(word ?? "");
  return argv.filter((word, index) => !isProxy(word) && !(word === "-o" && isProxy(argv[index + 1])));
}

async function readToEnd(master: Session): Promise<string[]> {
  const lines: string[] = [];
  let isAnswer = false;
  let count = 0;
  const iterator = master.lines[Symbol.asyncIterator]();
  for (;;) {
    const next = await iterator.next();
    if (next.done === true) return lines;
    if (++count > 10_000) return [];
    if (isAnswer) lines.push(next.value);
    else isAnswer = next.value === MARKER;
    if (isAnswer && next.value.startsWith("jiji:end")) return lines;
  }
}

async function loginFailure(master: Session, target: SshTarget, timeoutMs: number): Promise<ConnectError> {
  const end = await master.exited;
  if (end.code === SSH_FAILED) return describeSshFailure(end.stderr, destination(target), timeoutMs);
  const said = showText(end.stderr.trim().split("\n").at(-1) ?? "");
  return new ConnectError(
    "refused",
    `the login works, but its shell does not run commands${said === "" ? "" : `: ${said}`}`,
    `this must print "ok": ssh ${destination(target)} echo ok`,
  );
}

async function closeMaster(master: Session): Promise<void> {
  master.end();
  const timer = setTimeout(() => master.kill(), CLOSE_TIMEOUT_MS);
  await master.exited;
  clearTimeout(timer);
}
