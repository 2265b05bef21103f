import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** What {@link askSteadily} counted. */
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
 * Asks for one name at a steady rate from inside a server's network namespace (lab/dns-load.ts), by a program of its own,
 * so that a busy test does not slow the questions down.
 */
export function askSteadily(lab: Lab, questions: SteadyQuestions): Promise<AskedCounts> {
  const server = lab.servers.find(({ name }) => name === questions.from);
  if (server === undefined) throw new Error(`the lab has no server ${questions.from}`);
  const { address, name, perSecond, seconds, answers, untilAnswered } = questions;
  const options = { server: address, name, "per-second": perSecond, seconds, answers };
  const flags = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const child = Bun.spawn(
    [
      ...["nsenter", "--net", "-t", String(server.leaderPid())],
      ...[process.execPath, join(import.meta.dir, "dns-load.ts"), ...flags],
      ...(untilAnswered === true ? ["--until-answered"] : []),
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  return new Response(child.stdout).json() as Promise<AskedCounts>;
}
