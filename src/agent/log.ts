import { showText } from "../model/shown-text.ts";
import type { Log } from "../system/host.ts";

const MAX_LINE_CHARS = 500;

/** Makes one harmless line of a text that others may have written: escapes what a terminal would act on, and cuts it. */
export function escapeForLog(text: string): string {
  return showText(text.length > MAX_LINE_CHARS ? `${text.slice(0, MAX_LINE_CHARS)}…` : text);
}

/** Writes to standard error with the priorities that journald reads (sd-daemon(3): `<6>` info, `<4>` warning). */
export function openJournalLog(write: (text: string) => void): Log {
  return {
    info: (line) => write(`<6>${escapeForLog(line)}\n`),
    warn: (line) => write(`<4>${escapeForLog(line)}\n`),
  };
}

/** Says each problem of a thing once, and again only after the thing was forgotten. */
export class OnceLog {
  readonly #log: Log;
  readonly #said = new Map<string, Set<string>>();

  constructor(log: Log) {
    this.#log = log;
  }

  hasSaid(thing: string, problem: string): boolean {
    return this.#said.get(thing)?.has(problem) === true;
  }

  warn(thing: string, problem: string, line: string): void {
    const said = this.#said.get(thing) ?? new Set<string>();
    if (said.has(problem)) return;
    said.add(problem);
    this.#said.set(thing, said);
    this.#log.warn(line);
  }

  /** Forgets everything but these things. */
  retain(things: ReadonlySet<string>): void {
    for (const thing of this.#said.keys()) if (!things.has(thing)) this.#said.delete(thing);
  }
}
