import { JijiError } from "../../model/errors.ts";
import type { Identity } from "../../model/identity.ts";
import type { ServerId, WireGuardPublicKey } from "../../model/keys.ts";
import { encodeMembersFile } from "../../model/members-file.ts";
import type { MembersFile, Tombstone } from "../../model/members.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { PATHS } from "../../model/paths.ts";
import type { Reading } from "../../model/reading.ts";
import {
  verifyServerRecord,
  type Member,
  type ServerRecord,
  type SignedServerRecord,
} from "../../model/server-record.ts";
import type { NodeGoal } from "../goal.ts";
import { known, planRestore, type RestoreFileAction } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

export const MEMBERS_KIND = "members";

export interface ObservedMembers {
  readonly file: Reading<MembersFile>;
  readonly identity: Reading<Identity>;
  readonly publicKey: Reading<WireGuardPublicKey>;
}

export type MembersAction = RestoreFileAction | { readonly op: "write" };

/** The members of a file whose records verify and who were not removed, in order of subnet number. */
export function verifiedMembers(file: MembersFile): readonly Member[] {
  const removed = new Set<string>(file.removed.map(({ id }) => id));
  return file.members
    .flatMap((signed) => {
      const verified = verifyServerRecord(signed);
      return verified.ok && !removed.has(verified.member.id) ? [verified.member] : [];
    })
    .toSorted((a, b) => a.subnet - b.subnet);
}

/**
 * What is known, and what an operator brings over SSH: it only grows, and of two records of one server the newer counts.
 * Throws a {@link JijiError} when a brought record is not what it says, comes from a removed server, or claims the number
 * or the key that another member is known by.
 */
export function mergeMembers(file: MembersFile, brought: readonly SignedServerRecord[]): MembersFile {
  const signedById = new Map(file.members.map((signed) => [signed.id, signed]));
  const members = new Map(verifiedMembers(file).map((member) => [member.id, member]));
  const reserved = new Map<number | null, Tombstone>(file.removed.map((tombstone) => [tombstone.subnet, tombstone]));
  for (const signed of brought) {
    const verified = verifyServerRecord(signed);
    if (!verified.ok) throw refusal("a server's record was refused", verified.why);
    const { member } = verified;
    if (file.removed.some(({ id }) => id === member.id)) {
      throw refusal(`${member.name} was removed from the mesh`, "it has to be set up anew");
    }
    const pinned = members.get(member.id);
    if (pinned !== undefined && pinned.rev >= member.rev) continue;
    if (pinned !== undefined && pinned.subnet !== member.subnet) {
      throw refusal(`${member.name} claims number ${member.subnet}`, `it is known as number ${pinned.subnet}`);
    }
    for (const other of members.values()) {
      if (other.id === member.id) continue;
      if (other.subnet === member.subnet)
        throw refusal(`${member.name} claims number ${member.subnet}`, `it is ${other.name}'s`);
      if (other.publicKey === member.publicKey)
        throw refusal(`${member.name} claims a WireGuard key`, `it is ${other.name}'s`);
    }
    const tombstone = reserved.get(member.subnet);
    if (tombstone !== undefined) throw refusal(`number ${member.subnet} is reserved`, `it was ${tombstone.name}'s`);
    members.set(member.id, member);
    signedById.set(member.id, signed);
  }
  return { ...file, members: [...signedById.values()] };
}

function refusal(what: string, why: string): JijiError {
  return new JijiError("conflict", `${what}: ${why}`, { hint: "jiji network status shows who the members are" });
}

/**
 * What `gc --force` leaves of removed servers: their ids, which never come back, without their numbers. A removal that this
 * server has not heard of is brought along. Gives the same object when nothing changes; never removes `self`.
 */
export function freeNumbers(
  file: MembersFile,
  removed: readonly Pick<Tombstone, "id" | "name">[],
  self: ServerId | undefined,
): MembersFile {
  const brought = new Map(
    removed.filter(({ id }) => id !== self).map(({ id, name }) => [id, { id, name, subnet: null }]),
  );
  const isFreed = ({ id, subnet }: Tombstone): boolean => subnet === null || !brought.has(id);
  const known = new Set(file.removed.map(({ id }) => id));
  const news = [...brought.values()].filter(({ id }) => !known.has(id));
  if (news.length === 0 && file.removed.every(isFreed)) return file;
  const kept = file.removed.map((each) => (isFreed(each) ? each : { ...each, subnet: null }));
  return { ...file, removed: [...kept, ...news] };
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
export function planMembers(
  goal: NodeGoal,
  observed: ObservedMembers,
  manifest: Manifest,
): readonly Step<MembersAction>[] {
  if (goal.phase === "teardown") {
    return manifest.entries
      .filter(({ kind }) => kind === MEMBERS_KIND)
      .map((entry) => planRestore(MEMBERS_KIND, entry));
  }
  const file = known(observed.file, PATHS.members);
  const before = file ?? { version: 1, members: [], removed: [] };
  const brought = goal.phase === "join" ? (goal.brought ?? []) : [];
  const merged = mergeMembers(before, brought);
  const identity = known(observed.identity, PATHS.identity);
  const publicKey = known(observed.publicKey, PATHS.wireguardKey);
  const isCurrent =
    identity !== undefined &&
    publicKey !== undefined &&
    isOwnRecordCurrent(merged, identity, ownRecord(goal.spec, identity, publicKey));
  if (isCurrent && encodeMembersFile(merged) === encodeMembersFile(before)) return [];
  const knownIds = new Set<string>(before.members.map(({ id }) => id));
  const details = [
    ...(isCurrent ? [] : ["sign this server's own record"]),
    ...verifiedMembers(merged)
      .filter(({ id }) => !knownIds.has(id))
      .map(({ name, subnet }) => `learn ${name}, number ${subnet}`),
  ];
  const verb = file === undefined ? "create" : "change";
  const summary = `${verb === "create" ? "write" : "change"} ${PATHS.members}`;
  return [{ kind: MEMBERS_KIND, target: PATHS.members, verb, summary, details, action: { op: "write" } }];
}
