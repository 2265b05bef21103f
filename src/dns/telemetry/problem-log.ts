import type { Clock, Log } from "../../system/host.ts";

const QUIET_MS = 60_000;

/** Logs each kind of problem at most once a minute, and then with how often it was seen. */
export class ProblemLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #kinds = new Map<string, { saidMs: number; unsaid: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  info(line: string): void {
    this.#log.info(line);
  }

  /** @param kind one of few fixed words */
  warn(kind: string, line: string): void {
    this.#once(kind, line, (text) => this.#log.warn(text));
  }

  /** For what is no problem, but may happen often. */
  notice(kind: string, line: string): void {
    this.#once(kind, line, (text) => this.#log.info(text));
  }

  #once(kind: string, line: string, say: (text: string) => void): void {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#kinds.get(kind);
    if (known !== undefined && nowMs - known.saidMs < QUIET_MS) {
      known.unsaid++;
      return;
    }
    const times = known === undefined || known.unsaid === 0 ? "" : ` (and ${known.unsaid} times since the last line)`;
    this.#kinds.set(kind, { saidMs: nowMs, unsaid: 0 });
    say(`${line}${times}`);
  }
}
