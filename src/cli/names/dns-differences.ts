/** What one server answers to one name. */
export interface NameView {
  /** false: it knows no such name */
  readonly isKnown: boolean;
  readonly addresses: readonly string[];
  /** addresses that it knows and leaves out, with the reason; not every source gives them */
  readonly leftOut: readonly { readonly address: string; readonly why: string }[];
}

/** One name on which servers disagree. Equal views are joined. */
export interface Difference {
  readonly name: string;
  readonly views: readonly ({ readonly servers: readonly string[] } & NameView)[];
  /** the servers differ only because those behind NAT leave each other's containers out */
  readonly isByConfiguration: boolean;
}

/** Servers behind NAT: they have no path to each other. */
export interface NatServers {
  /** a server's name in the file → its name in the mesh */
  readonly names: ReadonlyMap<string, string>;
  /** address of a container → the name of its server in the mesh */
  readonly owners: ReadonlyMap<string, string>;
}

const UNKNOWN_NAME: NameView = { isKnown: false, addresses: [], leftOut: [] };

/**
 * The names whose addresses differ between servers, in order. Neither the order of addresses nor the reason why one is left
 * out counts.
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

/** Whether the views are equal when each server behind NAT is given the addresses of the others behind NAT. */
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
