import { capacity, type ClusterCidr } from "../../model/cluster.ts";
import type { ServerId } from "../../model/keys.ts";
import type { MembersFile } from "../../model/members.ts";
import { verifiedMembers } from "../../plan/kinds/members.ts";
import { verifyServerRecord, type Member, type SignedServerRecord } from "../../model/server-record.ts";

/** A record from the store that is not believed, for the log. */
export interface Refusal {
  readonly id: string;
  readonly why: string;
}

export interface Learned {
  /** what members.json should be; the same object when nothing was learned */
  readonly file: MembersFile;
  readonly refusals: readonly Refusal[];
}

/**
 * What this server remembers after a look at the store's rows. Pure. What is known only grows: a row is believed when it
 * verifies, is newer than what is known of that id, keeps the id's pinned subnet number, and takes neither another
 * member's number nor its WireGuard key (which would hand that peer's addresses over). The own record is never learned.
 */
export function learnMembers(
  known: MembersFile,
  rows: readonly SignedServerRecord[],
  self: ServerId,
  cluster: ClusterCidr,
): Learned {
  const members = new Map(verifiedMembers(known).map((member) => [member.id, member]));
  const signedById = new Map(known.members.map((signed) => [signed.id, signed]));
  const removed = new Set(known.removed.map(({ id }) => id));
  const reserved = new Map<number | null, string>(known.removed.map(({ id, subnet }) => [subnet, id]));
  const refusals: Refusal[] = [];
  let hasLearned = false;
  // in order of their ids: which of two newcomers gets a contested number must not depend on the order of the rows
  for (const row of rows.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    if (row.record === "" || row.id === self) continue;
    const verdict = judge(row, { members, signedById, removed, reserved, cluster });
    if (verdict.kind === "refused") refusals.push({ id: row.id, why: verdict.why });
    if (verdict.kind !== "learned") continue;
    members.set(row.id, verdict.member);
    signedById.set(row.id, { id: row.id, record: row.record, sig: row.sig });
    hasLearned = true;
  }
  if (!hasLearned) return { file: known, refusals };
  return { file: { ...known, members: [...signedById.values()] }, refusals };
}

interface Knowledge {
  readonly members: ReadonlyMap<ServerId, Member>;
  readonly signedById: ReadonlyMap<ServerId, SignedServerRecord>;
  readonly removed: ReadonlySet<string>;
  readonly reserved: ReadonlyMap<number | null, string>;
  readonly cluster: ClusterCidr;
}

type Verdict =
  | { readonly kind: "learned"; readonly member: Member }
  | { readonly kind: "known" }
  | { readonly kind: "refused"; readonly why: string };

function judge(row: SignedServerRecord, knowledge: Knowledge): Verdict {
  const pinnedText = knowledge.signedById.get(row.id);
  if (pinnedText?.record === row.record && pinnedText.sig === row.sig) return { kind: "known" };
  if (knowledge.removed.has(row.id)) return refused("the server was removed from the mesh");
  const verified = verifyServerRecord(row);
  if (!verified.ok) return refused(verified.why);
  const { member } = verified;
  const pinned = knowledge.members.get(row.id);
  if (pinned !== undefined) {
    if (member.subnet !== pinned.subnet)
      return refused(`claims number ${member.subnet}, but is number ${pinned.subnet}`);
    if (member.rev < pinned.rev) return refused("older than what is known");
    if (member.rev === pinned.rev) return refused("differs from what is known under the same rev");
  }
  if (member.subnet >= capacity(knowledge.cluster)) return refused(`number ${member.subnet} is outside the cluster`);
  if (knowledge.reserved.has(member.subnet)) return refused(`claims the number of a removed server, ${member.subnet}`);
  for (const other of knowledge.members.values()) {
    if (other.id === row.id) continue;
    if (other.subnet === member.subnet) return refused(`claims number ${member.subnet}, which is ${other.name}'s`);
    if (other.publicKey === member.publicKey) return refused(`claims the WireGuard key of ${other.name}`);
  }
  return { kind: "learned", member };
}

function refused(why: string): Verdict {
  return { kind: "refused", why };
}

/** Adds the times at which members were first seen where the file has none; the same object when it has them all. */
export function rememberFirstSeen(file: MembersFile, seenMs: ReadonlyMap<string, number>): MembersFile {
  const known = file.firstSeenMs ?? {};
  const fresh = file.members.flatMap(({ id }) => {
    const time = Object.hasOwn(known, id) ? undefined : seenMs.get(id);
    return time === undefined ? [] : [[id, time] as const];
  });
  return fresh.length === 0 ? file : { ...file, firstSeenMs: { ...known, ...Object.fromEntries(fresh) } };
}
