import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { sampleRecord, sampleSpec } from "../../../test/sample-spec.ts";
import type { SubnetNumber } from "../../model/cluster.ts";
import { encodeIdentityFile, parseIdentityFile } from "../../model/identity-file.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { EMPTY_MEMBERS, encodeMembersFile, parseMembersFile } from "../../model/members-file.ts";
import { signServerRecord, type ServerRecord, type SignedServerRecord } from "../../model/server-record.ts";
import { freeNumbers, isOwnRecordCurrent, mergeMembers, ownRecord, verifiedMembers } from "./members.ts";

const { privateKey } = generateKeyPairSync("ed25519");
const identity = parseIdentityFile(encodeIdentityFile("web1", 0, privateKey))!.identity;
const publicKey = Buffer.alloc(32, 99).toString("base64") as WireGuardPublicKey;

function own(change: Partial<ServerRecord> = {}): SignedServerRecord {
  return signServerRecord({ ...ownRecord(sampleSpec(), identity, publicKey), rev: 5, ...change }, privateKey);
}

describe("merging what is brought", () => {
  test("grows, the newer of two records of one server counts, and the order does not matter", () => {
    const [web2, web3] = [sampleRecord("web2", 1), sampleRecord("web3", 2)];
    const older = own();
    const newer = own({ rev: 6, nat: true });
    const merged = mergeMembers(mergeMembers(EMPTY_MEMBERS, [web3, newer]), [older, web2]);
    expect(verifiedMembers(merged).map(({ name, rev }) => [name, rev])).toEqual([
      ["web1", 6],
      ["web2", 1],
      ["web3", 1],
    ] as never);
    expect(mergeMembers(merged, [web2, web3, older])).toEqual(merged);
  });

  test("a genuine new key of a known server is taken over", () => {
    const rotated = Buffer.alloc(32, 42).toString("base64") as WireGuardPublicKey;
    const merged = mergeMembers(mergeMembers(EMPTY_MEMBERS, [own()]), [own({ rev: 6, publicKey: rotated })]);
    expect(verifiedMembers(merged)[0]?.publicKey).toBe(rotated);
  });

  test.each([
    ["a record that somebody changed", () => ({ ...sampleRecord("web2", 1), record: own().record }), /refused/],
    ["another's number", () => sampleRecord("web9", 0), /web9 claims number 0: it is web1's/],
    ["another number of its own", () => own({ rev: 6, subnet: 7 as SubnetNumber }), /web1 claims number 7/],
  ])("%s is refused", (_what, record, message) => {
    const file = mergeMembers(EMPTY_MEMBERS, [own()]);
    expect(() => mergeMembers(file, [record()])).toThrow(message);
  });

  test("another's WireGuard key is refused", () => {
    const thief = sampleRecord("web9", 98);
    const victim = own({ publicKey: Buffer.alloc(32, 99).toString("base64") as WireGuardPublicKey });
    const file = mergeMembers(EMPTY_MEMBERS, [thief]);
    expect(() => mergeMembers(file, [victim])).toThrow("web1 claims a WireGuard key: it is web9's");
  });

  test("a removed server does not come back, and its number stays taken", () => {
    const removed = { id: identity.id, name: "web1", subnet: 0 };
    const file = { ...EMPTY_MEMBERS, removed: [removed] };
    expect(() => mergeMembers(file, [own()])).toThrow("web1 was removed from the mesh");
    expect(() => mergeMembers(file, [sampleRecord("web9", 0)])).toThrow("number 0 is reserved: it was web1's");
    expect(verifiedMembers({ ...file, members: [own()] })).toEqual([]);
  });

  test("a number that gc has freed may be given again; the id stays removed", () => {
    const file = freeNumbers(
      { ...EMPTY_MEMBERS, removed: [{ id: identity.id, name: "web1", subnet: 0 }] },
      [identity],
      undefined,
    );
    expect(file.removed).toEqual([{ id: identity.id, name: "web1", subnet: null }]);
    expect(freeNumbers(file, [identity], undefined)).toBe(file);
    expect(() => mergeMembers(file, [own()])).toThrow("web1 was removed from the mesh");
    expect(verifiedMembers(mergeMembers(file, [sampleRecord("web9", 0)])).map(({ name }) => name as string)).toEqual([
      "web9",
    ]);
    expect(parseMembersFile(encodeMembersFile(file))).toEqual(file);
  });

  test("what does not verify in the own file is not there, and does not stop anything", () => {
    const broken = { ...sampleRecord("web2", 1), sig: "AAAA" };
    expect(verifiedMembers({ ...EMPTY_MEMBERS, members: [broken, own()] }).map(({ name }) => name)).toEqual([
      identity.name,
    ]);
  });
});

test("the own record is signed anew exactly when it says something else", () => {
  const file = mergeMembers(EMPTY_MEMBERS, [own()]);
  const now = ownRecord(sampleSpec(), identity, publicKey);
  expect(isOwnRecordCurrent(file, identity, now)).toBe(true);
  expect(isOwnRecordCurrent(file, identity, { ...now, nat: true })).toBe(false);
  expect(isOwnRecordCurrent(file, identity, { ...now, endpoints: [] })).toBe(false);
  expect(isOwnRecordCurrent(EMPTY_MEMBERS, identity, now)).toBe(false);
});
