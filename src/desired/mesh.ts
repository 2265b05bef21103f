import { finding, type Finding } from "../model/finding.ts";
import type { ServerId } from "../model/keys.ts";
import type { MembersFile, Tombstone } from "../model/members-file.ts";
import { PATHS } from "../model/paths.ts";
import { isNewer } from "../model/revision.ts";
import { verifyServerRecord, type Member, type SignedServerRecord } from "../model/server-record.ts";
import type { ObservedServer } from "./observed-server.ts";

/** What the servers that answered know of their mesh, put together. */
export interface Mesh {
  /** the newest verified record of each member that is not removed, in order of subnet number */
  readonly members: readonly KnownMember[];
  readonly removed: readonly Tombstone[];
}

export interface KnownMember {
  readonly member: Member;
  readonly signed: SignedServerRecord;
}

/**
 * Puts together what every server's members.json says. A record that does not verify is not there. Findings: two meshes
 * that know nothing of each other, a number or a name that two members claim, a server whose view cannot be read.
 */
export function collectMesh(servers: readonly ObservedServer[]): { readonly mesh: Mesh; readonly findings: Finding[] } {
  const newest = new Map<ServerId, KnownMember>();
  const removed = new Map<ServerId, Tombstone>();
  for (const file of servers.flatMap(membersOf)) {
    for (const tombstone of file.removed) {
      // A number is free when every server that knows of the removal says so: the others would refuse a newcomer with it.
      if ((removed.get(tombstone.id)?.subnet ?? null) === null) removed.set(tombstone.id, tombstone);
    }
    for (const signed of file.members) addRecord(newest, signed);
  }
  const members = [...newest.values()]
    .filter(({ member }) => !removed.has(member.id))
    .toSorted((a, b) => a.member.subnet - b.member.subnet || (a.member.id < b.member.id ? -1 : 1));
  const mesh: Mesh = { members, removed: [...removed.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)) };
  const findings = [
    ...servers.flatMap(unreadable),
    ...findStrangers(servers, newest),
    ...findDoubleNumbers(members, servers),
    ...findRemoved(servers, removed),
  ];
  return { mesh, findings };
}

function membersOf(server: ObservedServer): MembersFile[] {
  return server.facts.members.state === "found" ? [server.facts.members.value] : [];
}

function addRecord(newest: Map<ServerId, KnownMember>, signed: SignedServerRecord): void {
  const verified = verifyServerRecord(signed);
  if (!verified.ok) return;
  const known = newest.get(verified.member.id);
  if (isNewer(verified.member, known?.member)) newest.set(verified.member.id, { member: verified.member, signed });
}

function unreadable({ config, facts }: ObservedServer): Finding[] {
  const looks = [
    [PATHS.identity, facts.identity],
    [PATHS.members, facts.members],
    [PATHS.spec, facts.spec],
  ] as const;
  return looks.flatMap(([file, reading]): Finding[] => {
    if (reading.state !== "unknown") return [];
    return [finding("unreadable", { server: config.name, file, evidence: reading.why })];
  });
}

/**
 * Two groups of members that know nothing of each other are two meshes, and putting them into one is nothing that should
 * happen by a line in a file. A server that knows only itself may be joined to a mesh.
 */
function findStrangers(servers: readonly ObservedServer[], newest: ReadonlyMap<ServerId, KnownMember>): Finding[] {
  const groups: Set<ServerId>[] = [];
  for (const server of servers) {
    const ids = new Set(membersOf(server).flatMap((file) => file.members.map((signed) => signed.id)));
    if (server.facts.identity.state === "found") ids.add(server.facts.identity.value.id);
    const touching = groups.filter((group) => [...ids].some((id) => group.has(id)));
    const merged = new Set([...ids, ...touching.flatMap((group) => [...group])]);
    groups.splice(0, groups.length, ...groups.filter((group) => !touching.includes(group)), merged);
  }
  const meshes = groups.filter((group) => group.size > 1);
  if (meshes.length < 2) return [];
  const lists = meshes
    .map((group) =>
      [...group]
        .map((id) => newest.get(id)?.member.name ?? id.slice(0, 8))
        .toSorted()
        .join(", "),
    )
    .toSorted();
  return [finding("two-meshes", { lists: lists.map((list) => `(${list})`).join(" and ") })];
}

function findDoubleNumbers(members: readonly KnownMember[], servers: readonly ObservedServer[]): Finding[] {
  const claims = new Map<number, Map<ServerId, string>>();
  const claim = (subnet: number, id: ServerId, name: string): void => {
    const claimants = claims.get(subnet) ?? new Map<ServerId, string>();
    claims.set(subnet, claimants.set(id, name));
  };
  for (const { member } of members) claim(member.subnet, member.id, member.name);
  for (const { facts } of servers) {
    if (facts.identity.state === "found")
      claim(facts.identity.value.subnet, facts.identity.value.id, facts.identity.value.name);
  }
  return [...claims].flatMap(([subnet, claimants]): Finding[] => {
    if (claimants.size < 2) return [];
    return [finding("subnet-twice", { subnet, names: [...claimants.values()].toSorted().join(" and ") })];
  });
}

function findRemoved(servers: readonly ObservedServer[], removed: ReadonlyMap<ServerId, Tombstone>): Finding[] {
  return servers.flatMap(({ config, facts }): Finding[] => {
    if (facts.identity.state !== "found" || !removed.has(facts.identity.value.id)) return [];
    return [finding("removed", { server: config.name, name: config.name })];
  });
}
