import { ToolError } from "../tools/errors.ts";

export interface WaitOptions {
  readonly timeoutMs: number;
  /** What is waited for, for the error: "a handshake of web1 with home". */
  readonly what: string;
  /** Pause between two looks; default 50. */
  readonly intervalMs?: number;
}

/** What one look at a state found; `seen` is for the error if the state never comes. */
export interface Look {
  readonly done: boolean;
  readonly seen?: unknown;
}

type Truthy<T> = Exclude<T, false | null | undefined | 0 | "">;

/**
 * Looks at a state again and again until it is as wanted, and resolves to what `condition` returned then. Wanted is a
 * truthy value; of a `Look` (an object with a boolean `done`) it is `done`. A condition that throws counts as "not yet".
 * When the time is over it throws a `ToolError` that says what was seen last.
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions): Promise<Truthy<T>> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    let last: string;
    try {
      const value = await condition();
      const look: Look = isLook(value) ? value : { done: Boolean(value), seen: value };
      if (look.done) return value as Truthy<T>;
      last = `last seen: ${typeof look.seen === "string" ? look.seen : JSON.stringify(look.seen)}`;
    } catch (error) {
      last = `last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() >= deadline) {
      throw new ToolError(`waited ${options.timeoutMs} ms for ${options.what}; ${last}`);
    }
    await Bun.sleep(options.intervalMs ?? 50);
  }
}

function isLook(value: unknown): value is Look {
  return typeof value === "object" && value !== null && "done" in value && typeof value.done === "boolean";
}
