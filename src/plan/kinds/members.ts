import type { ClusterCidr } from "../../model/cluster.ts";
import { JijiError } from "../../model/errors.ts";
import type { Identity } from "../../model/identity.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { EMPTY_MEMBERS, encodeMembersFile, type MembersFile } from "../../model/members-file.ts";
import { admitRecords, verifiedMembers } from "../../model/membership.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import type { ServerRecord, SignedServerRecord } from "../../model/server-record.ts";
import type { NodeGoal } from "../goal.ts";
import { planRestores, type Steps } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import { stepsOf } from "../step.ts";

export const MEMBERS_KIND = "members";

export interface MembersObserved {
  readonly file: Reading<MembersFile>;
  readonly identity: Reading<Identity>;
  readonly publicKey: Reading<WireGuardPublicKey>;
}

export interface MembersAction {
  readonly op: "merge";
  readonly brought: readonly SignedServerRecord[];
  readonly spec: NodeSpec;
}

const step = stepsOf<MembersAction>(MEMBERS_KIND);

/**
 * What is known, and what an operator brings over SSH. Records that are not newer than what is known change nothing.
 * Throws a {@link JijiError} when one may not become a member.
 */
export function mergeMembers(
  file: MembersFile,
  brought: readonly SignedServerRecord[],
  cluster: ClusterCidr,
): MembersFile {
  const admission = admitRecords(file, brought, cluster);
  const refusal = admission.refusals.find(({ isOutdated }) => !isOutdated);
  if (refusal === undefined) return admission.file;
  throw new JijiError("conflict", `the record of ${refusal.name ?? refusal.id} was refused: ${refusal.why}`, {
    hint: "jiji network status shows who the members are",
  });
}

/** What this server has to say of itself now; `rev` belongs to the moment of signing. */
export function ownRecord(
  spec: NodeSpec,
  identity: Identity,
  publicKey: WireGuardPublicKey,
): Omit<ServerRecord, "rev"> {
  return {
    name: identity.name,
    subnet: identity.subnet,
    publicKey,
    idKey: identity.idKey,
    endpoints: spec.endpoints,
    nat: spec.nat,
    version: spec.release.jiji.version,
  };
}

/** Whether the record in the file still says the same. */
export function isOwnRecordCurrent(file: MembersFile, identity: Identity, now: Omit<ServerRecord, "rev">): boolean {
  const last = verifiedMembers(file).find(({ id }) => id === identity.id);
  if (last === undefined) return false;
  const { id: _id, rev: _rev, ...said } = last;
  const inOrder = (record: Omit<ServerRecord, "rev">): string =>
    JSON.stringify(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return inOrder(said) === inOrder(now);
}

/** Keeps members.json: this server's own signed record, and everybody's that a run brings. */
export function planMembers(goal: NodeGoal, observed: MembersObserved, manifest: Manifest): Steps<MembersAction> {
  if (goal.phase === "teardown") return planRestores(MEMBERS_KIND, manifest);
  const { spec } = goal;
  const file = known(observed.file, PATHS.members);
  const before = file ?? EMPTY_MEMBERS;
  const brought = goal.phase === "join" ? (goal.brought ?? []) : [];
  const merged = mergeMembers(before, brought, spec.cluster.cidr);
  const identity = known(observed.identity, PATHS.identity);
  const publicKey = known(observed.publicKey, PATHS.wireguardKey);
  const isCurrent =
    identity !== undefined &&
    publicKey !== undefined &&
    isOwnRecordCurrent(merged, identity, ownRecord(spec, identity, publicKey));
  if (isCurrent && encodeMembersFile(merged) === encodeMembersFile(before)) return [];
  const knownIds = new Set<string>(before.members.map(({ id }) => id));
  const details = [
    ...(isCurrent ? [] : ["sign this server's own record"]),
    ...verifiedMembers(merged)
      .filter(({ id }) => !knownIds.has(id))
      .map(({ name, subnet }) => `learn ${name}, number ${subnet}`),
  ];
  const [verb, word] = file === undefined ? (["create", "write"] as const) : (["change", "change"] as const);
  return [step(verb, PATHS.members, `${word} ${PATHS.members}`, { op: "merge", brought, spec }, { details })];
}
