/** What one server answers to one name. */
export interface NameView {
  /** false: it knows no such name */
  readonly isKnown: boolean;
  readonly addresses: readonly string[];
  /** what it knows and leaves out, with the reason; not every source says it */
  readonly leftOut: readonly { readonly address: string; readonly why: string }[];
}

/** One name on which servers do not agree: equal views are put together. */
export interface Difference {
  readonly name: string;
  readonly views: readonly ({ readonly servers: readonly string[] } & NameView)[];
}

const UNKNOWN_NAME: NameView = { isKnown: false, addresses: [], leftOut: [] };

/**
 * The names whose addresses are not the same on all servers, in order. The order of addresses counts for nothing, and
 * neither does why one of them is left out.
 */
export function diffNames(views: ReadonlyMap<string, ReadonlyMap<string, NameView>>): readonly Difference[] {
  const names = new Set([...views.values()].flatMap((byName) => [...byName.keys()]));
  const differences: Difference[] = [];
  for (const name of [...names].toSorted()) {
    const groups = new Map<string, { servers: string[] } & NameView>();
    for (const [server, byName] of views) {
      const view = byName.get(name) ?? UNKNOWN_NAME;
      const addresses = [...new Set(view.addresses)].toSorted(byNumber);
      const key = `${view.isKnown} ${addresses.join(" ")}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { servers: [server], ...view, addresses });
      else group.servers.push(server);
    }
    if (groups.size > 1) differences.push({ name, views: [...groups.values()] });
  }
  return differences;
}

/** Addresses in the order of their numbers. */
export function byNumber(a: string, b: string): number {
  const pad = (text: string): string => text.replaceAll(/[0-9]+/g, (part) => part.padStart(3, "0"));
  return pad(a) < pad(b) ? -1 : 1;
}
