import { JijiError } from "./errors.ts";

/**
 * A three-valued look at the world. On `unknown` nothing may be created, renumbered, restarted or deleted: a thing that
 * cannot be seen may still be there.
 */
export type Reading<T> =
  | { readonly state: "found"; readonly value: T }
  | { readonly state: "absent" }
  | { readonly state: "unknown"; readonly why: string };

export const ABSENT: Reading<never> = { state: "absent" };

export function found<T>(value: T): Reading<T> {
  return { state: "found", value };
}

/** `why` is for people: what was asked and what came back. */
export function unknown(why: string): Reading<never> {
  return { state: "unknown", why };
}

/** The value of a reading; undefined when it is absent. Throws a {@link JijiError} when it is unknown. */
export function known<T>(reading: Reading<T>, what: string): T | undefined {
  if (reading.state === "found") return reading.value;
  if (reading.state === "absent") return undefined;
  throw new JijiError("remote", `could not look at ${what}: ${reading.why}`, {
    hint: "nothing was changed there; make it readable for root, then run the command again",
  });
}

/** The same reading of what is made of the value. */
export function mapReading<T, U>(reading: Reading<T>, map: (value: T) => U): Reading<U> {
  return reading.state === "found" ? found(map(reading.value)) : reading;
}

/** The reading of what a text says; unknown, for the reason given, when the parser gives undefined. */
export function parseReading<T>(
  text: Reading<string>,
  parse: (text: string) => T | undefined,
  why: string,
): Reading<T> {
  if (text.state !== "found") return text;
  const value = parse(text.value);
  return value === undefined ? unknown(why) : found(value);
}
