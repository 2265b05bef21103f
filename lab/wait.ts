import { LabError } from "./errors.ts";

export interface WaitOptions {
  readonly timeoutMs: number;
  /** What is waited for, for the error: "a handshake of web1 with home". */
  readonly what: string;
  /** Pause between two looks; default 50. */
  readonly intervalMs?: number;
}

/**
 * Looks at a state again and again until `condition` returns something truthy, and resolves to that. A condition that
 * throws counts as "not yet". When the time is over it throws a `LabError` that says what was seen last.
 *
 * To show more than "false" there, let the condition throw an error that describes what it saw.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  options: WaitOptions,
): Promise<Exclude<T, false | null | undefined | 0 | "">> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    let seen: string;
    try {
      const value = await condition();
      if (value) return value as Exclude<T, false | null | undefined | 0 | "">;
      seen = `last seen: ${JSON.stringify(value)}`;
    } catch (error) {
      seen = `last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() >= deadline) {
      throw new LabError(`waited ${options.timeoutMs} ms for ${options.what}; ${seen}`);
    }
    await Bun.sleep(options.intervalMs ?? 50);
  }
}
