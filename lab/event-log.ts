import { ToolError } from "../tools/errors.ts";

/** The time with fractions of a millisecond, comparable among the processes of this machine. */
export function labNowMs(): number {
  return performance.timeOrigin + performance.now();
}

export interface EventWait {
  /** events before this time do not count; default: all do */
  readonly sinceMs?: number;
  readonly timeoutMs: number;
  /** what is waited for, for the error */
  readonly what: string;
}

/** What was seen, in its order; callers wait for an event of it. */
export class EventLog<Event extends { readonly atMs: number }> {
  readonly #events: Event[] = [];
  readonly #listeners = new Set<() => void>();

  get events(): readonly Event[] {
    return this.#events;
  }

  add(event: Event): void {
    this.#events.push(event);
    for (const listener of this.#listeners) listener();
  }

  /** Resolves with the first wanted event, also one that has already come. Rejects when the time is up. */
  when(isWanted: (event: Event) => boolean, { sinceMs = 0, timeoutMs, what }: EventWait): Promise<Event> {
    let seen = 0;
    const look = (): Event | undefined => {
      for (; seen < this.#events.length; seen++) {
        const event = this.#events[seen];
        if (event !== undefined && event.atMs >= sinceMs && isWanted(event)) return event;
      }
      return undefined;
    };
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(listen);
      };
      const listen = (): void => {
        const event = look();
        if (event === undefined) return;
        end();
        resolve(event);
      };
      const timer = setTimeout(() => {
        end();
        reject(new ToolError(`waited ${timeoutMs} ms for ${what}; last: ${JSON.stringify(this.#events.at(-1))}`));
      }, timeoutMs);
      this.#listeners.add(listen);
      listen();
    });
  }
}
