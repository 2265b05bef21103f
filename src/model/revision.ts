/**
 * A record with its owner's counter: `rev` is max(last + 1, the owner's clock in ms). It orders one owner's records of one
 * thing and nothing else: the `rev`s of two owners are never compared.
 */
export interface Revised {
  readonly rev: number;
}

/** An owner that counts correctly never gets further ahead of the reader's clock than this. */
const MAX_REV_AHEAD_MS = 24 * 60 * 60 * 1000;

/** Whether a record replaces what is known: undefined, or the same owner's with a smaller `rev`. */
export function isNewer(record: Revised, known: Revised | undefined): boolean {
  return known === undefined || record.rev > known.rev;
}

/** Whether a `rev` may be used for ordering: a safe integer, at most a day ahead of the reader's clock. */
export function isUsableRev(rev: number, nowMs: number): boolean {
  return Number.isSafeInteger(rev) && rev <= nowMs + MAX_REV_AHEAD_MS;
}

/** The next `rev` of an owner: max(last + 1, its clock). */
export function nextRev(lastRev: number, nowMs: number): number {
  return Math.max(lastRev + 1, Math.trunc(nowMs));
}
