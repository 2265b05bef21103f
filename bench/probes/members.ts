import type { ClusterCidr } from "../../src/model/cluster.ts";
import type { ServerId } from "../../src/model/keys.ts";
import type { Member } from "../../src/model/server-record.ts";

export const CLUSTER = "10.210.0.0/16" as ClusterCidr;

/** The server that is measured: one that starts half of its exchanges. */
export function subjectOf(members: number): number {
  return Math.floor(members / 2);
}

export function memberId(n: number): ServerId {
  return n.toString(16).padStart(32, "0") as ServerId;
}

/** As much of a member as the agents' link looks at. */
export function memberOf(n: number, nat = false): Member {
  return { id: memberId(n), subnet: n, name: `s${n}`, nat } as unknown as Member;
}
