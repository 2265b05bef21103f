import type { ServerId } from "../model/keys.ts";
import type { MembersFile, Tombstone } from "../model/members-file.ts";
import { isNewer } from "../model/revision.ts";
import { verifyServerRecord, type Member, type SignedServerRecord } from "../model/server-record.ts";
import type { ObservedServer, Problem } from "./observed-server.ts";

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
 * Puts together what every server's members.json says. A record that does not verify is not there. Problems: two meshes
 * that know nothing of each other, a number or a name that two members claim, a server whose view cannot be read.
 */
export function collectMesh(servers: readonly ObservedServer[]): { readonly mesh: Mesh; readonly problems: Problem[] } {
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
  const problems = [
    ...servers.flatMap(unreadable),
    ...findStrangers(servers, newest),
    ...findDoubleNumbers(members, servers),
    ...findRemoved(servers, removed),
  ];
  return { mesh, problems };
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

function unreadable(server: ObservedServer): Problem[] {
  const { name } = server.config;
  const looks = [
    ["its identity", server.facts.identity],
    ["its members.json", server.facts.members],
    ["its spec.json", server.facts.spec],
  ] as const;
  return looks.flatMap(([what, reading]): Problem[] => {
    if (reading.state !== "unknown") return [];
    return [
      {
        server: name,
        code: "unknown",
        message: `${what} cannot be read, so nobody knows whether it is a member: ${reading.why}`,
        hint: "mend or remove the file under /opt/jiji on the server; jiji does not guess",
      },
    ];
  });
}

/**
 * Two groups of members that know nothing of each other are two meshes, and putting them into one is nothing that should
 * happen by a line in a file. A server that knows only itself may be joined to a mesh.
 */
function findStrangers(servers: readonly ObservedServer[], newest: ReadonlyMap<ServerId, KnownMember>): Problem[] {
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
  return [
    {
      server: undefined,
      code: "two-meshes",
      message: `the file brings two different meshes together: ${lists.map((list) => `(${list})`).join(" and ")}`,
      hint: "use one file for each, or take one apart first with jiji network teardown",
    },
  ];
}

function findDoubleNumbers(members: readonly KnownMember[], servers: readonly ObservedServer[]): Problem[] {
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
  return [...claims].flatMap(([subnet, claimants]): Problem[] => {
    if (claimants.size < 2) return [];
    return [
      {
        server: undefined,
        code: "subnet-twice",
        message: `subnet number ${subnet} is claimed by ${[...claimants.values()].toSorted().join(" and ")}`,
        hint: "take one of them out with jiji network teardown -H NAME, and set it up again under another name; it then gets a free number",
      },
    ];
  });
}

function findRemoved(servers: readonly ObservedServer[], removed: ReadonlyMap<ServerId, Tombstone>): Problem[] {
  return servers.flatMap(({ config, facts }): Problem[] => {
    if (facts.identity.state !== "found" || !removed.has(facts.identity.value.id)) return [];
    return [
      {
        server: config.name,
        code: "removed",
        message: "it was removed from the mesh, and an identity that was removed never comes back",
        hint: `run jiji network teardown -H ${config.name}, then setup: it joins as a new server`,
      },
    ];
  });
}
