import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { homedir, hostname, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { isatty } from "node:tty";
import { JijiError } from "../model/errors.ts";
import { systemClock } from "../system/clock.ts";
import { openSsh } from "../system/ssh.ts";
import type { CliContext, TextSink } from "./context.ts";
import { OFFICIAL_SOURCE } from "./corrosion/release.ts";
import { EXIT } from "./exit-codes.ts";

/** What an interrupted command may take to end in order. */
const LONGEST_END_MS = 8_000;

/** The operator's real machine. The first Ctrl-C ends the command in order, the second at once. */
export function systemContext(): CliContext {
  const { env } = process;
  const home = env["HOME"] ?? homedir();
  const interrupted = new AbortController();
  const stderr = sinkOf(process.stderr, 2);
  let usesServers = false;
  const interrupt = (): void => {
    if (interrupted.signal.aborted) process.exit(EXIT.cancelled);
    if (usesServers) {
      stderr.write("\ninterrupted: ending what runs on the servers; once more ends this at once\n");
      setTimeout(() => process.exit(EXIT.cancelled), LONGEST_END_MS).unref();
    }
    interrupted.abort(new JijiError("cancelled", "interrupted"));
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return {
    env,
    cwd: process.cwd(),
    home,
    stdout: sinkOf(process.stdout, 1),
    stderr,
    canAsk: process.stdin.isTTY && process.stderr.isTTY,
    ask: (question) => ask(question, interrupted.signal),
    openSsh: (settings) => {
      // The terminal was closed. Not before: to the services SIGHUP means something else.
      if (!usesServers) process.on("SIGHUP", interrupt);
      usesServers = true;
      return openSsh(settings);
    },
    lookup: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
    clock: systemClock,
    self: `${userName()}@${hostname()} (process ${process.pid})`,
    releaseFolder: join(dirname(process.execPath), "server"),
    cacheFolder: env["JIJI_CACHE"] ?? join(home, ".cache", "jiji"),
    corrosion: OFFICIAL_SOURCE,
    interrupted: interrupted.signal,
  };
}

function userName(): string {
  const named = process.env["USER"] ?? process.env["LOGNAME"] ?? userInfo().username;
  // Without these variables the runtime does not know the name either.
  if (named !== "" && named !== "unknown") return named;
  const uid = process.getuid?.();
  return uid === 0 ? "root" : `uid ${uid ?? "?"}`;
}

function sinkOf(stream: NodeJS.WriteStream, descriptor: 1 | 2): TextSink {
  // A reader may stop early (`| head`). That ends the output, not the command.
  const gone = new AbortController();
  const end = (): void => gone.abort();
  // The runtime never sets `writableNeedDrain`.
  let isFull = false;
  // The stream's own `isTTY` is undefined for a pipe, and undefined would let other defaults decide.
  const isTerminal = isatty(descriptor);
  stream.on("error", end).on("close", end);
  stream.on("drain", () => (isFull = false));
  return {
    write: (text) => {
      if (!stream.write(text)) isFull = true;
    },
    room: async () => {
      const { signal } = gone;
      if (!signal.aborted && isFull) await once(stream, "drain", { signal }).catch(() => undefined);
      return !signal.aborted;
    },
    isTerminal,
    columns: isTerminal ? stream.columns : undefined,
  };
}

async function ask(question: string, signal: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.on("SIGINT", () => process.emit("SIGINT"));
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal });
    return /^(y|yes)$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
