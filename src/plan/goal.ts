import type { SubnetNumber } from "../model/cluster.ts";
import type { DnsLabel } from "../model/names.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import type { Member } from "../model/server-record.ts";

/**
 * All that decides how one server should be. Each resource kind derives its own part from it by a pure function.
 *
 * - `prepare`: only what is needed to make keys and identity; the others are not known yet.
 * - `join`: everything.
 * - `teardown`: the machine as it was before jiji, from the manifest.
 */
export type NodeGoal =
  | { readonly phase: "prepare"; readonly spec: NodeSpec }
  | {
      readonly phase: "join";
      readonly spec: NodeSpec;
      /** every member with a verified record, this server included once it has one, in order of subnet number */
      readonly members: readonly Member[];
      /** members to come, whose keys are not made yet; only a plan that is shown has them, never one that is executed */
      readonly expected: readonly { readonly name: DnsLabel; readonly subnet: SubnetNumber }[];
    }
  | { readonly phase: "teardown" };
