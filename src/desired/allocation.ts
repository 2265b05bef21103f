import {
  capacity,
  lowestFreeSubnet,
  parseSubnetNumber,
  type ClusterCidr,
  type SubnetNumber,
} from "../model/cluster.ts";
import type { DnsLabel } from "../model/names.ts";
import type { Mesh } from "./mesh.ts";
import type { ObservedServer, Problem } from "./observed-server.ts";

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
): { readonly seats: ReadonlyMap<DnsLabel, Seat>; readonly problems: Problem[] } {
  const seats = new Map<DnsLabel, Seat>();
  const problems: Problem[] = [];
  const taken = new Set<number>([
    ...mesh.members.map(({ member }) => member.subnet),
    ...mesh.removed.flatMap(({ subnet }) => subnet ?? []),
  ]);
  for (const { config, facts } of servers) {
    if (facts.identity.state !== "found") continue;
    const { name, subnet } = facts.identity.value;
    taken.add(subnet);
    const fitting = parseSubnetNumber(cluster, subnet);
    if (fitting === undefined) problems.push(outsideCluster(config.name, subnet, cluster));
    else seats.set(config.name, { name, subnet: fitting, isNew: false });
  }
  const newcomers = servers.filter(({ facts, selected }) => selected && facts.identity.state === "absent");
  for (const { config } of newcomers.toSorted((a, b) => (a.config.name < b.config.name ? -1 : 1))) {
    const subnet = lowestFreeSubnet(cluster, taken);
    if (subnet === undefined) {
      problems.push(full(config.name, cluster));
    } else {
      taken.add(subnet);
      seats.set(config.name, { name: config.name, subnet, isNew: true });
    }
  }
  return { seats, problems: [...problems, ...findNameClashes(servers, seats, mesh)] };
}

function outsideCluster(server: DnsLabel, subnet: number, cluster: ClusterCidr): Problem {
  return {
    server,
    code: "cluster-too-small",
    message: `it has subnet number ${subnet}, but ${cluster} holds only ${capacity(cluster)}`,
    hint: "give network.cluster_cidr the value that the mesh was made with",
  };
}

function full(server: DnsLabel, cluster: ClusterCidr): Problem {
  return {
    server,
    code: "cluster-full",
    message: `no subnet of ${cluster} is free: it holds ${capacity(cluster)} servers, removed ones included`,
    hint: "a mesh cannot grow beyond its cluster_cidr; make a new one with a shorter prefix",
  };
}

/** Two servers of one name, or two entries of the file that lead to one server. */
function findNameClashes(
  servers: readonly ObservedServer[],
  seats: ReadonlyMap<DnsLabel, Seat>,
  mesh: Mesh,
): Problem[] {
  const problems: Problem[] = [];
  const byId = new Map<string, DnsLabel>();
  for (const { config, facts } of servers) {
    const seat = seats.get(config.name);
    if (facts.identity.state === "found") {
      const other = byId.get(facts.identity.value.id);
      byId.set(facts.identity.value.id, config.name);
      if (other !== undefined) problems.push(sameServer(config.name, other));
    }
    if (seat?.isNew !== true) continue;
    const namesake = mesh.members.find(({ member }) => member.name === seat.name);
    if (namesake !== undefined) problems.push(nameTaken(config.name, namesake.member.subnet));
  }
  return problems;
}

function sameServer(server: DnsLabel, other: DnsLabel): Problem {
  return {
    server,
    code: "same-server",
    message: `it is the same server as ${other}`,
    hint: "one server stands once in the file; remove one of the two",
  };
}

function nameTaken(server: DnsLabel, subnet: number): Problem {
  return {
    server,
    code: "name-taken",
    message: `the mesh already has a member of this name, number ${subnet}, with another identity`,
    hint: "give the server another name in the file; a reinstalled server is a new member",
  };
}
