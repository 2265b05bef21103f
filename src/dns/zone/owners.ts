/** A server that has rows: a member with its pinned number, or a stranger, whose rows do not count (yet). */
export interface Owner {
  readonly index: number;
  readonly id: string;
  /** undefined while it is no member */
  member: { readonly name: string; readonly subnet: number } | undefined;
  /** its containers are not answered from here just now */
  isHidden: boolean;
  /** n → row of the store */
  readonly rows: Map<number, number>;
  /** n → row that came ahead of the store */
  readonly news: Map<number, { readonly row: number; readonly untilMs: number }>;
}

/** The key of a row in the store, owner and n, as one number. */
export type Place = number;

/** Larger keys are ignored: an agent takes the lowest free number, and it has 253 addresses. */
const MAX_N = 2 ** 31;
const MAX_ID_CHARS = 64;
/** Limits keep a broken store from filling the memory. Members have room of their own, which strangers cannot take. */
const MAX_OWNERS = 4_096;
const MAX_WITH_MEMBERS = 2 * MAX_OWNERS;

const N_RANGE = 2 ** 32;

/** All servers that rows or members name, by id and by number. */
export class Owners {
  readonly #byId = new Map<string, Owner>();
  readonly #byIndex: Owner[] = [];

  all(): readonly Owner[] {
    return this.#byIndex;
  }

  find(id: string): Owner | undefined {
    return this.#byId.get(id);
  }

  at(index: number): Owner {
    const owner = this.#byIndex[index];
    if (owner === undefined) throw new RangeError(`no owner ${index}`);
    return owner;
  }

  /** The owner with this id, added if it is new; undefined for what is no id, and for one stranger too many. */
  take(id: string, isMember = false): Owner | undefined {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const most = isMember ? MAX_WITH_MEMBERS : MAX_OWNERS;
    if (id === "" || id.length > MAX_ID_CHARS || this.#byIndex.length >= most) return undefined;
    const index = this.#byIndex.length;
    const owner: Owner = { index, id, member: undefined, isHidden: false, rows: new Map(), news: new Map() };
    this.#byId.set(id, owner);
    this.#byIndex.push(owner);
    return owner;
  }

  /** The place of a key, whose owner is added if it is new; undefined when no agent would write such a key. */
  place(id: string, n: number): Place | undefined {
    if (!Number.isInteger(n) || n < 0 || n >= MAX_N) return undefined;
    const owner = this.take(id);
    return owner === undefined ? undefined : owner.index * N_RANGE + n;
  }

  ownerOf(place: Place): Owner {
    return this.at(Math.floor(place / N_RANGE));
  }

  nOf(place: Place): number {
    return place % N_RANGE;
  }
}

/** All n of an owner that have a row, of the store or ahead of it. */
export function placesOf(owner: Owner): ReadonlySet<number> {
  return new Set([...owner.rows.keys(), ...owner.news.keys()]);
}
