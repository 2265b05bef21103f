/**
 * A record that its owner counts: `rev` is max(last + 1, the owner's clock in ms). It orders the records of one owner for one
 * thing, and nothing else: two owners' are never compared.
 */
export interface Revised {
  readonly rev: number;
}

/** A `rev` this far ahead of the own clock was not made by an owner that counts as it should. */
const MAX_REV_AHEAD_MS = 24 * 60 * 60 * 1000;

/** Whether a record replaces what is known: undefined, or the same owner's with a smaller `rev`. */
export function isNewer(record: Revised, known: Revised | undefined): boolean {
  return known === undefined || record.rev > known.rev;
}

/** Whether a `rev` may be used for ordering: a safe integer, at most a day ahead of the clock of who looks. */
export function isUsableRev(rev: number, nowMs: number): boolean {
  return Number.isSafeInteger(rev) && rev <= nowMs + MAX_REV_AHEAD_MS;
}

/** The next `rev` of an owner: max(last + 1, its clock). */
export function nextRev(lastRev: number, nowMs: number): number {
  return Math.max(lastRev + 1, Math.trunc(nowMs));
}
