import type { CorrosionForTests } from "../corrosion.ts";
import type { TestResult } from "./junit.ts";

/** What a stage is given. */
export interface StageContext {
  /** test files that were asked for on the command line, relative to the repository; empty: all */
  readonly files: readonly string[];
  /** settled; undefined when no stage that runs needs it */
  readonly corrosion: CorrosionForTests | undefined;
  /** the smaller of this limit and what is left for the whole run */
  timeLimitMs(limitMs: number): number;
  /** shows output of a test program as it comes */
  show(text: string): void;
  /** a line of the runner's own */
  say(line: string): void;
}

/** One part of `npm test`. A part whose results hold a failure is the last one that runs. */
export interface Stage {
  /** what is given on the command line */
  readonly name: string;
  /** one line for people */
  readonly about: string;
  /** where it stands in the repository, when it consists of test files */
  readonly folders?: readonly string[];
  /** runs as root: it makes namespaces, mounts and users, on this machine or in the lab */
  readonly root: boolean;
  /** needs the lab: Debian or Ubuntu, root */
  readonly lab: boolean;
  readonly corrosion: boolean;
  /** runs only when it is named */
  readonly onRequest?: boolean;
  run(context: StageContext): Promise<readonly TestResult[]>;
}

/** A stage that has run. */
export interface StageResult {
  readonly stage: string;
  readonly durationMs: number;
  readonly results: readonly TestResult[];
}
