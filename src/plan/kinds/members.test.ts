import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { sampleRecord, sampleSpec } from "../../../test/sample-spec.ts";
import type { SubnetNumber } from "../../model/cluster.ts";
import { encodeIdentityFile, parseIdentityFile } from "../../model/identity.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { EMPTY_MEMBERS, encodeMembersFile, parseMembersFile, type MembersFile } from "../../model/members-file.ts";
import { freeNumbers, verifiedMembers } from "../../model/membership.ts";
import { signServerRecord, type ServerRecord, type SignedServerRecord } from "../../model/server-record.ts";
import { isOwnRecordCurrent, mergeMembers, ownRecord } from "./members.ts";

const { privateKey } = generateKeyPairSync("ed25519");
const identity = parseIdentityFile(encodeIdentityFile("web1", 0, privateKey))!.identity;
const publicKey = Buffer.alloc(32, 99).toString("base64") as WireGuardPublicKey;

const cluster = sampleSpec().cluster.cidr;
const merge = (file: MembersFile, brought: readonly SignedServerRecord[]) => mergeMembers(file, brought, cluster);

function own(change: Partial<ServerRecord> = {}): SignedServerRecord {
  return signServerRecord({ ...ownRecord(sampleSpec(), identity, publicKey), rev: 5, ...change }, privateKey);
}

describe("merging what is brought", () => {
  test("grows, the newer of two records of one server counts, and the order does not matter", () => {
    const [web2, web3] = [sampleRecord("web2", 1), sampleRecord("web3", 2)];
    const older = own();
    const newer = own({ rev: 6, nat: true });
    const merged = merge(merge(EMPTY_MEMBERS, [web3, newer]), [older, web2]);
    expect(verifiedMembers(merged).map(({ name, rev }) => [name, rev])).toEqual([
      ["web1", 6],
      ["web2", 1],
      ["web3", 1],
    ] as never);
    expect(merge(merged, [web2, web3, older])).toEqual(merged);
  });

  // security-tests: signed-new-key
  test("a genuine new key of a known server is taken over", () => {
    const rotated = Buffer.alloc(32, 42).toString("base64") as WireGuardPublicKey;
    const merged = merge(merge(EMPTY_MEMBERS, [own()]), [own({ rev: 6, publicKey: rotated })]);
    expect(verifiedMembers(merged)[0]?.publicKey).toBe(rotated);
  });

  test.each([
    ["a record that somebody changed", () => ({ ...sampleRecord("web2", 1), record: own().record }), /refused/],
    [
      "another's number",
      () => sampleRecord("web9", 0),
      "the record of web9 was refused: it claims number 0, which is web1's",
    ],
    [
      "another number of its own",
      () => own({ rev: 6, subnet: 7 as SubnetNumber }),
      "web1 was refused: it claims number 7, but is number 0",
    ],
  ])("%s is refused", (_what, record, message) => {
    const file = merge(EMPTY_MEMBERS, [own()]);
    expect(() => merge(file, [record()])).toThrow(message);
  });

  test("another's WireGuard key is refused", () => {
    const thief = sampleRecord("web9", 98);
    const victim = own({ publicKey: Buffer.alloc(32, 99).toString("base64") as WireGuardPublicKey });
    const file = merge(EMPTY_MEMBERS, [thief]);
    expect(() => merge(file, [victim])).toThrow("web1 was refused: it claims the WireGuard key of web9");
  });

  // security-tests: removed-stays-removed
  test("a removed server does not come back, and its number stays taken", () => {
    const removed = { id: identity.id, name: "web1", subnet: 0 };
    const file = { ...EMPTY_MEMBERS, removed: [removed] };
    expect(() => merge(file, [own()])).toThrow("web1 was refused: it was removed from the mesh");
    expect(() => merge(file, [sampleRecord("web9", 0)])).toThrow(
      "web9 was refused: it claims number 0, which is reserved: it was web1's",
    );
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
    expect(() => merge(file, [own()])).toThrow("web1 was refused: it was removed from the mesh");
    expect(verifiedMembers(merge(file, [sampleRecord("web9", 0)])).map(({ name }) => name as string)).toEqual(["web9"]);
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
  const file = merge(EMPTY_MEMBERS, [own()]);
  const now = ownRecord(sampleSpec(), identity, publicKey);
  expect(isOwnRecordCurrent(file, identity, now)).toBe(true);
  expect(isOwnRecordCurrent(file, identity, { ...now, nat: true })).toBe(false);
  expect(isOwnRecordCurrent(file, identity, { ...now, endpoints: [] })).toBe(false);
  expect(isOwnRecordCurrent(EMPTY_MEMBERS, identity, now)).toBe(false);
});
