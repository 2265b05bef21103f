import type { SubnetNumber } from "../model/cluster.ts";
import type { DnsLabel } from "../model/names.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import type { Secret } from "../model/secret.ts";
import type { Member, SignedServerRecord } from "../model/server-record.ts";

/**
 * All that decides how one server should be. Each resource kind derives its own part from it by a pure function.
 *
 * - `prepare`: only what is needed to make keys and identity; the others are not known yet.
 * - `join`: everything.
 * - `teardown`: the machine as it was before jiji, from the manifest.
 */
export type NodeGoal = PrepareGoal | JoinGoal | TeardownGoal;

export interface TeardownGoal {
  readonly phase: "teardown";
  /** whether the operator allows the engine to be restarted */
  readonly restartEngine?: boolean;
}

export interface PrepareGoal {
  readonly phase: "prepare";
  readonly spec: NodeSpec;
}

export interface JoinGoal {
  readonly phase: "join";
  readonly spec: NodeSpec;
  /** every member with a verified record, this server included once it has one, in order of subnet number */
  readonly members: readonly Member[];
  /** members to come, whose keys are not made yet; only a plan that is shown has them, never one that is executed */
  readonly expected: readonly { readonly name: DnsLabel; readonly subnet: SubnetNumber }[];
  /** the records that this run brings, as they were signed; the members kind merges them into members.json */
  readonly brought?: readonly SignedServerRecord[];
  /** embedded store only: the mesh's token, as its holder made it */
  readonly storeToken?: Secret;
  /** whether the operator allows the engine to be restarted */
  readonly restartEngine?: boolean;
}
