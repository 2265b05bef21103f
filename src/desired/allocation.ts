import {
  capacity,
  lowestFreeSubnet,
  parseSubnetNumber,
  type ClusterCidr,
  type SubnetNumber,
} from "../model/cluster.ts";
import { finding, type Finding } from "../model/finding.ts";
import type { DnsLabel } from "../model/names.ts";
import type { Mesh } from "./mesh.ts";
import type { ObservedServer } from "./observed-server.ts";

/** Who a server is in the mesh. */
export interface Seat {
  /** the stored name, which stays when the file calls the server by another */
  readonly name: DnsLabel;
  readonly subnet: SubnetNumber;
  /** has no identity yet: it gets this number for good when it is set up */
  readonly isNew: boolean;
}

/**
 * Gives every server its number: who has an identity keeps its own, newcomers get the lowest free ones in the order of
 * their names. A number is taken while a member, a removed server or an identity holds it, so the result depends neither
 * on the order of the file nor on who else joins later.
 */
export function allocate(
  cluster: ClusterCidr,
  servers: readonly ObservedServer[],
  mesh: Mesh,
): { readonly seats: ReadonlyMap<DnsLabel, Seat>; readonly findings: Finding[] } {
  const seats = new Map<DnsLabel, Seat>();
  const findings: Finding[] = [];
  const size = { cluster, capacity: capacity(cluster) };
  const taken = new Set<number>([
    ...mesh.members.map(({ member }) => member.subnet),
    ...mesh.removed.flatMap(({ subnet }) => subnet ?? []),
  ]);
  for (const { config, facts } of servers) {
    if (facts.identity.state !== "found") continue;
    const { name, subnet } = facts.identity.value;
    taken.add(subnet);
    const fitting = parseSubnetNumber(cluster, subnet);
    if (fitting !== undefined) seats.set(config.name, { name, subnet: fitting, isNew: false });
    else findings.push(finding("cluster-too-small", { ...size, server: config.name, subnet }));
  }
  const newcomers = servers.filter(({ facts, selected }) => selected && facts.identity.state === "absent");
  for (const { config } of newcomers.toSorted((a, b) => (a.config.name < b.config.name ? -1 : 1))) {
    const subnet = lowestFreeSubnet(cluster, taken);
    if (subnet === undefined) {
      findings.push(finding("cluster-full", { ...size, server: config.name }));
    } else {
      taken.add(subnet);
      seats.set(config.name, { name: config.name, subnet, isNew: true });
    }
  }
  return { seats, findings: [...findings, ...findNameClashes(servers, seats, mesh)] };
}

/** Two servers of one name, or two entries of the file that lead to one server. */
function findNameClashes(
  servers: readonly ObservedServer[],
  seats: ReadonlyMap<DnsLabel, Seat>,
  mesh: Mesh,
): Finding[] {
  const findings: Finding[] = [];
  const byId = new Map<string, DnsLabel>();
  for (const { config, facts } of servers) {
    const seat = seats.get(config.name);
    if (facts.identity.state === "found") {
      const other = byId.get(facts.identity.value.id);
      byId.set(facts.identity.value.id, config.name);
      if (other !== undefined) findings.push(finding("same-server", { server: config.name, other }));
    }
    if (seat?.isNew !== true) continue;
    const namesake = mesh.members.find(({ member }) => member.name === seat.name);
    if (namesake !== undefined) {
      findings.push(finding("name-taken", { server: config.name, subnet: namesake.member.subnet }));
    }
  }
  return findings;
}
