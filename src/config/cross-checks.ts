import { capacity, cidrsOverlap, DEFAULT_CLUSTER, parseCidr, parseClusterCidr, type Cidr } from "../model/cluster.ts";
import { parseDnsLabel } from "../model/names.ts";
import { nearest } from "./nearest.ts";
import type { Path } from "./yaml-document.ts";

/** A problem between several places of the file; it is shown at `path`. */
export interface CrossProblem {
  readonly path: Path;
  readonly on: "key" | "value";
  readonly message: string;
  readonly hint?: string;
}

type Loose = Readonly<Record<string, unknown>>;

const NOT_FOR_CLUSTERS: readonly (readonly [string, string])[] = [
  ["0.0.0.0/8", "this network"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local addresses"],
  ["224.0.0.0/3", "multicast and reserved addresses"],
];

/**
 * Checks across the whole file. They read the raw value and skip malformed parts, so their problems are shown together
 * with those of the schema.
 */
export function crossCheck(value: unknown): CrossProblem[] {
  const top = loose(value);
  const servers = loose(top["servers"]);
  return [
    ...checkServerNames(servers),
    ...checkDuplicateHosts(servers, loose(top["ssh"])),
    ...checkDuplicateEndpoints(servers),
    ...checkProxy(servers, loose(top["ssh"])),
    ...checkCluster(servers, loose(top["network"])),
    ...checkStore(servers, loose(top["network"])),
  ];
}

function loose(value: unknown): Loose {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Loose) : {};
}

function checkServerNames(servers: Loose): CrossProblem[] {
  return Object.keys(servers).flatMap((name): CrossProblem[] => {
    if (parseDnsLabel(name) !== undefined) return [];
    const message = `server name "${name}" is not a DNS label: lower-case letters, digits and inner hyphens, at most 63`;
    return [{ path: ["servers", name], on: "key", message }];
  });
}

function checkDuplicateHosts(servers: Loose, ssh: Loose): CrossProblem[] {
  const first = new Map<string, string>();
  const problems: CrossProblem[] = [];
  for (const [name, entry] of Object.entries(servers)) {
    const { host, port } = loose(entry);
    if (typeof host !== "string") continue;
    const key = `${host.toLowerCase()} ${JSON.stringify(port ?? ssh["port"] ?? 22)}`;
    const other = first.get(key);
    if (other === undefined) {
      first.set(key, name);
    } else {
      problems.push({
        path: ["servers", name, "host"],
        on: "value",
        message: `host ${host} is already the host of server "${other}"`,
        hint: "one server stands once in the file; remove one of the two",
      });
    }
  }
  return problems;
}

function checkDuplicateEndpoints(servers: Loose): CrossProblem[] {
  const first = new Map<string, string>();
  const problems: CrossProblem[] = [];
  for (const [name, entry] of Object.entries(servers)) {
    const { endpoint } = loose(entry);
    for (const text of Array.isArray(endpoint) ? endpoint : [endpoint]) {
      if (typeof text !== "string") continue;
      const other = first.get(text.toLowerCase());
      if (other !== undefined && other !== name) {
        const message = `endpoint ${text} is already an endpoint of server "${other}"`;
        problems.push({ path: ["servers", name, "endpoint"], on: "value", message });
      }
      first.set(text.toLowerCase(), other ?? name);
    }
  }
  return problems;
}

function checkProxy(servers: Loose, ssh: Loose): CrossProblem[] {
  const problems: CrossProblem[] = [];
  if (ssh["proxy"] !== undefined && ssh["proxy_command"] !== undefined) {
    problems.push({
      path: ["ssh", "proxy_command"],
      on: "key",
      message: "give ssh.proxy or ssh.proxy_command, not both",
    });
  }
  if (ssh["proxy"] === undefined && ssh["proxy_command"] === undefined) return problems;
  for (const [name, entry] of Object.entries(servers)) {
    const server = loose(entry);
    if (server["endpoint"] !== undefined || server["nat"] === true) continue;
    problems.push({
      path: ["servers", name],
      on: "key",
      message: `server "${name}" is reached through a proxy, so where its peers reach it cannot be known: endpoint is missing`,
      hint: "add endpoint: [ADDRESS:31820], or nat: true when it cannot be reached from outside",
    });
  }
  return problems;
}

function checkCluster(servers: Loose, network: Loose): CrossProblem[] {
  const text = network["cluster_cidr"];
  const cluster = typeof text === "string" ? parseClusterCidr(text) : DEFAULT_CLUSTER;
  if (cluster === undefined) return [];
  const problems: CrossProblem[] = [];
  const path = ["network", "cluster_cidr"];
  for (const [range, what] of NOT_FOR_CLUSTERS) {
    if (!cidrsOverlap(cluster, parseCidr(range) as Cidr)) continue;
    problems.push({ path, on: "value", message: `${cluster} lies in ${range}, which is for ${what}` });
  }
  const count = Object.keys(servers).length;
  if (count > capacity(cluster)) {
    const hint = capacity(cluster) < 255 ? `use a shorter prefix, at most /${prefixFor(count)}` : undefined;
    const message = `${cluster} holds ${capacity(cluster) === 1 ? "1 server" : `${capacity(cluster)} servers`}, the file names ${count}`;
    problems.push({ path, on: "value", message, ...(hint === undefined ? {} : { hint }) });
  }
  return problems;
}

function prefixFor(count: number): number {
  return 24 - Math.ceil(Math.log2(Math.min(count, 255)));
}

function checkStore(servers: Loose, network: Loose): CrossProblem[] {
  const holder = loose(network["store"])["embedded"];
  if (typeof holder !== "string" || holder in servers) return [];
  const meant = nearest(holder, Object.keys(servers));
  const message = `store.embedded names "${holder}", which is not a server of this file`;
  const hint = meant === undefined ? "give the name of one of the servers" : `did you mean "${meant}"?`;
  return [{ path: ["network", "store", "embedded"], on: "value", message, hint }];
}
