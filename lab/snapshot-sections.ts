// Pure functions from the output of a server's tools to the lines of a snapshot: what counts, in a stable form.

/** Addresses and routes that the kernel adds by itself as soon as a bridge first has a member, and then keeps. */
const ipv6ByItself = /\b(fe80:|ff00:|ff02:)/;

/** Names of the two ends of a container's cable differ from start to start. */
function normalizeVeth(text: string): string {
  return text.replace(/\bveth[0-9a-z]+\b/g, "veth*");
}

function toLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== "");
}

/**
 * `nft --stateless list ruleset`: each rule after the table and chain that it stands in. Rules are in order; tables and
 * chains are sorted, since their order means nothing, and Docker makes its chains in another one when it restarts.
 */
export function describeNftables(ruleset: string): string[] {
  const path: string[] = [];
  const lines: { readonly place: string; readonly text: string }[] = [];
  for (const line of toLines(ruleset)) {
    const text = line.trim();
    if (text.startsWith("#")) continue;
    if (text === "}") {
      path.pop();
      continue;
    }
    const opens = text.endsWith("{");
    const shown = normalizeVeth(opens ? text.slice(0, -1).trim() : text)
      .replace(/ # handle \d+$/, "")
      .replace(/\bcounter packets \d+ bytes \d+/g, "counter");
    const whole = [...path, shown];
    lines.push({ place: whole.slice(0, 2).join(" / "), text: whole.join(" / ") });
    if (opens) path.push(shown);
  }
  return lines.toSorted((a, b) => Number(a.place > b.place) - Number(a.place < b.place)).map(({ text }) => text);
}

/** `iptables-save`: each rule after its table, without counters, in order. */
export function describeIptables(saved: string): string[] {
  let table = "";
  return toLines(saved).flatMap((line) => {
    if (line.startsWith("#") || line === "COMMIT") return [];
    if (line.startsWith("*")) table = line.slice(1);
    return [
      line.startsWith("*")
        ? line
        : `${table} ${normalizeVeth(line)
            .replace(/ ?\[\d+:\d+\] ?/g, " ")
            .trim()}`,
    ];
  });
}

/** `ip route show table all`, sorted: what matters is which routes there are. */
export function describeRoutes(routes: string): string[] {
  return toLines(routes)
    .filter((line) => !ipv6ByItself.test(line))
    .map((line) => normalizeVeth(line.replace(/ (linkdown|dead|expires \d+sec|pref medium)\b/g, "").trim()))
    .sort();
}

interface Link {
  readonly ifname: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info: readonly { local?: string; prefixlen?: number; scope?: string; label?: string }[];
}

/** `ip -j -d address`: a line per link and per address, sorted. */
export function describeLinks(json: string): string[] {
  return (JSON.parse(json) as Link[])
    .flatMap((link) => {
      const name = normalizeVeth(link.ifname);
      const master = link.master === undefined ? "" : ` master ${link.master}`;
      const up = link.flags.includes("UP") ? "up" : "down";
      const addresses = link.addr_info
        .map((address) => `${name}: address ${address.local}/${address.prefixlen} scope ${address.scope}`)
        .filter((line) => !ipv6ByItself.test(line));
      return [`${name}: ${link.linkinfo?.info_kind ?? "physical"} ${up} mtu ${link.mtu}${master}`, ...addresses];
    })
    .sort();
}

/** `ss -Hlntup`: who listens where, by program name, sorted. */
export function describeSockets(listening: string): string[] {
  return toLines(listening)
    .map((line) => {
      const [protocol, , , , local = "", , users] = line.split(/\s+/);
      const program = /\(\("([^"]*)"/.exec(users ?? "")?.[1] ?? "?";
      // containerd takes another free port at each start.
      return `${protocol} ${program === "containerd" ? local.replace(/:\d+$/, ":*") : local} ${program}`;
    })
    .sort();
}

/**
 * Services that start when someone asks over D-Bus or a socket, and end by themselves when nobody does; and
 * systemd's own work at and after the start.
 */
const comesAndGoes =
  /^(netavark-dhcp-proxy|systemd-(hostnamed|timedated|localed|tmpfiles-clean|journal-flush)|podman|polkit|packagekit|containerd-shim.*|user@\d+|user-runtime-dir@\d+|modprobe@.*|ssh@.*|sshd@.*)\.service$/;

/** `systemctl list-units`: services, sockets, paths and timers that are active or failed, sorted. */
export function describeUnits(units: string): string[] {
  return toLines(units)
    .map((line) => line.trim().split(/\s+/))
    .filter(([name = "", load]) => load !== "not-found" && /\.(service|socket|path|timer)$/.test(name))
    .filter(([name = ""]) => !comesAndGoes.test(name))
    .map(([name, , active]) => `${name} ${active}`)
    .sort();
}

/** Networks that an engine makes anew whenever it starts: only their settings count. */
const remade: readonly string[] = ["bridge", "host", "none", "podman"];

/** `docker network inspect` or `podman network inspect`: everything about each network but its containers. */
export function describeEngineNetworks(json: string): string[] {
  return (JSON.parse(json) as Record<string, unknown>[]).map((network) => {
    const kept = Object.entries(network).filter(([key]) => key.toLowerCase() !== "containers");
    const name = String(network["Name"] ?? network["name"]);
    const identity = ["id", "created"];
    if (!remade.includes(name)) return `${name}: ${JSON.stringify(Object.fromEntries(kept))}`;
    const settings = Object.fromEntries(kept.filter(([key]) => !identity.includes(key.toLowerCase())));
    // Docker 20.10 names the gateway of its own bridge only from its second start on.
    return `${name}: ${JSON.stringify(settings, (key, value: unknown) => (key === "Gateway" ? undefined : value))}`;
  });
}
