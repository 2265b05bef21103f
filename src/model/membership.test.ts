import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { makeMember, signAgain, type MadeMember } from "../../test/mesh-makers.ts";
import { parseClusterCidr, type SubnetNumber } from "./cluster.ts";
import type { WireGuardPublicKey } from "./keys.ts";
import { encodeMembersFile, parseMembersFile, type MembersFile } from "./members-file.ts";
import { signServerRecord, verifyServerRecord, type ServerRecord, type SignedServerRecord } from "./server-record.ts";
import { admitRecords, noteFirstSeen, verifiedMembers } from "./membership.ts";

const cluster = parseClusterCidr("10.210.0.0/20")!;
const [self, web1, home] = [makeMember("self", 0), makeMember("web1", 1, 5), makeMember("home", 2, 5)];
const known = { version: 1, members: [self, web1, home].map(({ signed }) => signed), removed: [] } as const;

const learn = (records: readonly SignedServerRecord[], file: MembersFile = known) =>
  admitRecords(file, records, cluster);

/** A record that says other things, truly signed by its server. */
function saying(member: MadeMember, changes: Partial<ServerRecord>): SignedServerRecord {
  const verified = verifyServerRecord(member.signed);
  if (!verified.ok) throw new Error(verified.why);
  return signServerRecord({ ...verified.member, rev: 6, ...changes }, member.privateKey);
}

const keyOf = (member: MadeMember): WireGuardPublicKey => {
  const verified = verifyServerRecord(member.signed);
  if (!verified.ok) throw new Error(verified.why);
  return verified.member.publicKey;
};

const number = (n: number): SubnetNumber => n as SubnetNumber;

describe("believed", () => {
  test("a newcomer with a free number", () => {
    const { file, refusals } = learn([makeMember("db1", 7).signed]);
    expect(refusals).toEqual([]);
    expect(verifiedMembers(file).map(({ name }) => String(name))).toEqual(["self", "web1", "home", "db1"]);
  });

  // security-tests: signed-new-key
  test("a genuine new WireGuard key, also by a server that slept through several", () => {
    const rotated = Buffer.alloc(32, 42).toString("base64") as WireGuardPublicKey;
    const { file, refusals } = learn([saying(web1, { publicKey: rotated, rev: 50 })]);
    expect(refusals).toEqual([]);
    expect(verifiedMembers(file).find(({ id }) => id === web1.identity.id)?.publicKey).toBe(rotated);
  });

  test("nothing new: the same object, so that nothing is written", () => {
    expect(learn([web1.signed, home.signed]).file).toBe(known);
    expect(learn([]).file).toBe(known);
  });
});

describe("refused, with the reason", () => {
  const stranger = makeMember("stranger", 9);
  test.each<readonly [string, () => SignedServerRecord, string]>([
    ["no signature", () => ({ ...saying(web1, {}), sig: "" }), "signature"],
    ["another's signature", () => ({ ...saying(web1, {}), sig: saying(home, {}).sig }), "signature"],
    ["another's id", () => ({ ...saying(stranger, {}), id: web1.identity.id }), "id does not belong"],
    ["another number of its own", () => saying(web1, { subnet: number(8) }), "claims number 8, but is number 1"],
    ["a member's number", () => saying(stranger, { subnet: number(2) }), "claims number 2, which is home's"],
    ["this server's number", () => saying(stranger, { subnet: number(0) }), "claims number 0, which is self's"],
    [
      "a member's WireGuard key",
      () => saying(stranger, { publicKey: keyOf(home) }),
      "claims the WireGuard key of home",
    ],
    ["a number outside", () => saying(stranger, { subnet: number(16) }), "number 16 is outside the cluster"],
    ["an older record", () => signAgain(web1, 4), "older than what is known"],
    ["another under the same rev", () => saying(web1, { nat: true, rev: 5 }), "differs from what is known"],
    ["what is no JSON", () => ({ ...stranger.signed, record: "PostUp = x" }), "not JSON"],
  ])("%s", (_what, row, why) => {
    const learned = learn([row()]);
    expect(learned.file).toBe(known);
    expect(learned.refusals).toMatchObject([{ id: row().id, why: expect.stringContaining(why) }]);
  });

  test("a removed server, and its number", () => {
    const file = { ...known, removed: [{ id: stranger.identity.id, name: "stranger", subnet: 9 }] };
    expect(learn([stranger.signed], file).refusals[0]?.why).toContain("was removed");
    expect(learn([makeMember("other", 9).signed], file).refusals[0]?.why).toContain(
      "which is reserved: it was stranger's",
    );
  });
});

test("when a member was first seen is noted once, and outlasts what else changes in the file", () => {
  const noted = noteFirstSeen(known, 1000);
  const times = Object.fromEntries([self, web1, home].map(({ identity }) => [identity.id, 1000]));
  expect(noted.firstSeenMs).toEqual(times);
  expect(parseMembersFile(encodeMembersFile(noted))).toEqual({ ...noted, members: expect.any(Array) });
  expect(noteFirstSeen(noted, 2000)).toBe(noted);
  const db1 = makeMember("db1", 7);
  const { file } = learn([db1.signed], noted);
  expect(noteFirstSeen(file, 3000).firstSeenMs).toEqual({ ...times, [db1.identity.id]: 3000 });
});

// security-tests: no-member-for-another
test("whatever rows there are, who is known stays, with number and key, and no two share either", () => {
  const thief = makeMember("thief", 3);
  const members = [self, web1, home, thief];
  const text = fc.string({ maxLength: 60 });
  const genuine = fc
    .record({
      by: fc.nat(3),
      subnet: fc.integer({ min: 0, max: 20 }),
      key: fc.nat(3),
      rev: fc.integer({ min: 0, max: 9 }),
    })
    .map(({ by, subnet, key, rev }) =>
      saying(members[by] ?? thief, { subnet: number(subnet), publicKey: keyOf(members[key] ?? thief), rev }),
    );
  const forged = fc
    .record({ by: fc.nat(3), record: text, sig: text })
    .map(({ by, record, sig }): SignedServerRecord => ({
      id: (members[by] ?? thief).identity.id,
      record,
      sig,
    }));
  fc.assert(
    fc.property(fc.array(fc.oneof(genuine, forged), { maxLength: 8 }), (rows) => {
      const after = verifiedMembers(learn(rows).file);
      for (const member of [self, web1, home]) {
        expect(after.find(({ id }) => id === member.identity.id)?.subnet).toBe(member.identity.subnet);
      }
      expect(new Set(after.map(({ subnet }) => subnet)).size).toBe(after.length);
      expect(new Set(after.map(({ publicKey }) => publicKey)).size).toBe(after.length);
      expect(after.every(({ subnet }) => subnet < 16)).toBe(true);
    }),
  );
});
