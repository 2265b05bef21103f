import { capacity, type ClusterCidr } from "./cluster.ts";
import type { ServerId } from "./keys.ts";
import type { MembersFile, Tombstone } from "./members-file.ts";
import { isNewer } from "./revision.ts";
import { verifyServerRecord, type Member, type SignedServerRecord } from "./server-record.ts";

/** A record that is not believed. */
export interface Refusal {
  readonly id: string;
  /** undefined when the record does not verify: its name is anybody's word then */
  readonly name: string | undefined;
  /** a clause, e.g. `it claims number 2, which is home's` */
  readonly why: string;
  /** what is known is as new or newer, and the record claims nothing else */
  readonly isOutdated: boolean;
}

export interface Admission {
  /** what members.json should be; the same object when nothing was learned */
  readonly file: MembersFile;
  readonly refusals: readonly Refusal[];
}

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
 * The rule who may become a member, whoever brings the records. What is known only grows: a record is believed when it
 * verifies, is newer than what is known of that id, keeps the id's pinned subnet number, and takes neither another
 * member's number nor its WireGuard key (which would hand that peer's addresses over). A removed id never comes back, and
 * its number stays reserved until gc frees it.
 */
export function admitRecords(
  file: MembersFile,
  records: readonly SignedServerRecord[],
  cluster: ClusterCidr,
): Admission {
  const known: Knowledge = {
    members: new Map(verifiedMembers(file).map((member) => [member.id, member])),
    removed: file.removed,
    cluster,
  };
  const signedById = new Map(file.members.map((signed) => [signed.id, signed]));
  const refusals: Refusal[] = [];
  let hasLearned = false;
  // in order of their ids: which of two newcomers gets a contested number must not depend on the order of the records
  for (const { id, record, sig } of records.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const last = signedById.get(id);
    if (last?.record === record && last.sig === sig && known.members.has(id)) continue;
    const verified = verifyServerRecord({ id, record, sig });
    const member = verified.ok ? verified.member : undefined;
    const refusal = verified.ok ? judge(verified.member, known) : { why: verified.why, isOutdated: false };
    if (refusal !== undefined) refusals.push({ id, name: member?.name, ...refusal });
    if (refusal !== undefined || member === undefined) continue;
    known.members.set(id, member);
    signedById.set(id, { id, record, sig });
    hasLearned = true;
  }
  return { file: hasLearned ? { ...file, members: [...signedById.values()] } : file, refusals };
}

interface Knowledge {
  readonly members: Map<ServerId, Member>;
  readonly removed: readonly Tombstone[];
  readonly cluster: ClusterCidr;
}

/** Why a record that verifies is not believed; undefined: it is. */
function judge(
  member: Member,
  { members, removed, cluster }: Knowledge,
): Pick<Refusal, "why" | "isOutdated"> | undefined {
  const refused = (why: string, isOutdated = false) => ({ why, isOutdated });
  const { id, subnet } = member;
  if (removed.some((tombstone) => tombstone.id === id)) return refused("it was removed from the mesh");
  const pinned = members.get(id);
  if (pinned !== undefined && subnet !== pinned.subnet) {
    return refused(`it claims number ${subnet}, but is number ${pinned.subnet}`);
  }
  if (!isNewer(member, pinned)) {
    const isOlder = member.rev < (pinned?.rev ?? 0);
    return refused(
      isOlder ? "it is older than what is known" : "it differs from what is known under the same rev",
      true,
    );
  }
  if (subnet >= capacity(cluster)) return refused(`number ${subnet} is outside the cluster`);
  const tombstone = removed.find((each) => each.subnet === subnet);
  if (tombstone !== undefined)
    return refused(`it claims number ${subnet}, which is reserved: it was ${tombstone.name}'s`);
  for (const other of members.values()) {
    if (other.id === id) continue;
    if (other.subnet === subnet) return refused(`it claims number ${subnet}, which is ${other.name}'s`);
    if (other.publicKey === member.publicKey) return refused(`it claims the WireGuard key of ${other.name}`);
  }
  return undefined;
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

/** Notes `nowMs` for members that the file has no first sight of; the same object when it has them all. */
export function noteFirstSeen(file: MembersFile, nowMs: number): MembersFile {
  const known = file.firstSeenMs ?? {};
  const fresh = file.members.flatMap(({ id }) => (Object.hasOwn(known, id) ? [] : [[id, nowMs] as const]));
  return fresh.length === 0 ? file : { ...file, firstSeenMs: { ...known, ...Object.fromEntries(fresh) } };
}
