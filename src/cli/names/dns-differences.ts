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
  /** it is nothing but what servers without a path to each other have to leave out */
  readonly isByConfiguration: boolean;
}

/** Servers that cannot be reached from outside: those have no path to each other. */
export interface NatServers {
  /** a server's name in the file → its name in the mesh */
  readonly names: ReadonlyMap<string, string>;
  /** address of a container → the name of its server in the mesh */
  readonly owners: ReadonlyMap<string, string>;
}

const UNKNOWN_NAME: NameView = { isKnown: false, addresses: [], leftOut: [] };

/**
 * The names whose addresses are not the same on all servers, in order. The order of addresses counts for nothing, and
 * neither does why one of them is left out.
 */
export function diffNames(
  views: ReadonlyMap<string, ReadonlyMap<string, NameView>>,
  nat: NatServers,
): readonly Difference[] {
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
    if (groups.size < 2) continue;
    const found = [...groups.values()];
    differences.push({ name, views: found, isByConfiguration: isByConfiguration(found, nat) });
  }
  return differences;
}

/** Whether the views are equal once each server behind NAT is granted what the others behind NAT have. */
function isByConfiguration(views: Difference["views"], { names, owners }: NatServers): boolean {
  const natNames = new Set(names.values());
  const all = views.flatMap(({ addresses }) => addresses);
  const granted = (server: string): readonly string[] => {
    const self = names.get(server);
    return self === undefined
      ? []
      : all.filter((address) => owners.get(address) !== self && natNames.has(owners.get(address) ?? ""));
  };
  const whole = views.flatMap(({ servers, isKnown, addresses }) =>
    servers.map((server) => `${isKnown} ${[...new Set([...addresses, ...granted(server)])].toSorted().join(" ")}`),
  );
  return new Set(whole).size === 1;
}

/** Addresses in the order of their numbers. */
export function byNumber(a: string, b: string): number {
  const pad = (text: string): string => text.replaceAll(/[0-9]+/g, (part) => part.padStart(3, "0"));
  return pad(a) < pad(b) ? -1 : 1;
}
