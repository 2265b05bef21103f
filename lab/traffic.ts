import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** Traffic that goes on until it is stopped or its time is up. */
export interface Traffic<Counts> {
  /** Resolves with what was counted when it has ended. */
  readonly counts: Promise<Counts>;
  /** Ends it; what is still on its way is waited for, and then counted as lost. */
  stop(): Promise<Counts>;
}

export interface AskedCounts {
  readonly sent: number;
  readonly answered: number;
  readonly wrong: number;
  readonly slowestMs: number;
  /** when the first answer that counts came, in ms since 1970; null: never */
  readonly firstAtMs: number | null;
}

export interface SteadyQuestions {
  /** whose network namespace the questions come from */
  readonly from: string;
  /** address that is asked, port 53 */
  readonly address: string;
  readonly name: string;
  readonly perSecond: number;
  readonly seconds: number;
  /** records that an answer must have to count */
  readonly answers: number;
  /** end with the first answer that counts */
  readonly untilAnswered?: boolean;
}

/**
 * Asks for one name at a steady rate from inside a server's network namespace, by a program of its own (lab/dns-load.ts),
 * so that a busy test does not slow the questions down.
 */
export function askSteadily(lab: Lab, questions: SteadyQuestions): Traffic<AskedCounts> {
  const { from, address, name, perSecond, seconds, answers, untilAnswered } = questions;
  const options = { server: address, name, "per-second": perSecond, seconds, answers };
  const flags = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const until = untilAnswered === true ? ["--until-answered"] : [];
  const program = [process.execPath, join(import.meta.dir, "dns-load.ts"), ...flags, ...until];
  return runInNetwork(lab, from, program, (output) => JSON.parse(output) as AskedCounts);
}

export interface PingCounts {
  readonly sent: number;
  readonly received: number;
}

/** How many pings one run of ping sends; it waits for the last answers before it ends, so that none counts as lost. */
const PINGS_PER_RUN = 200;

/** Floods an address with pings from a server's network namespace, up to 200 a second, run after run until stopped. */
export function floodWithPings(
  lab: Lab,
  ping: { readonly from: string; readonly source: string; readonly address: string },
): Traffic<PingCounts> {
  const flags = ["-q", "-f", "-i", "0.005", "-c", String(PINGS_PER_RUN), "-W", "3", "-I", ping.source, ping.address];
  const stop = new AbortController();
  const flood = async (): Promise<PingCounts> => {
    let [sent, received] = [0, 0];
    while (!stop.signal.aborted) {
      // the server's own ping: the machine may have none
      const output = (await lab.exec(ping.from, ["ping", ...flags])).stdout;
      const summary = /^(\d+) packets transmitted, (\d+) received/m.exec(output);
      if (summary === null) throw new Error(`ping said: ${output}`);
      sent += Number(summary[1]);
      received += Number(summary[2]);
    }
    return { sent, received };
  };
  const counts = flood();
  counts.catch(() => undefined);
  return {
    counts,
    stop: () => {
      stop.abort();
      return counts;
    },
  };
}

/** The program ends, and says what it has counted, at SIGINT. */
function runInNetwork<Counts>(
  lab: Lab,
  server: string,
  program: readonly string[],
  parse: (output: string) => Counts,
): Traffic<Counts> {
  const found = lab.servers.find(({ name }) => name === server);
  if (found === undefined) throw new Error(`the lab has no server ${server}`);
  const child = Bun.spawn(["nsenter", "--net", "-t", String(found.leaderPid()), ...program], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const counts = new Response(child.stdout).text().then(parse);
  // A test that fails before it asks for the counts must not fail a second time by them.
  counts.catch(() => undefined);
  return {
    counts,
    stop: () => {
      child.kill("SIGINT");
      return counts;
    },
  };
}
