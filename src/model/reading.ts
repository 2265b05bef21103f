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
