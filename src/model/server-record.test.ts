import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { parseEndpoint, type Endpoint } from "./address.ts";
import type { SubnetNumber } from "./cluster.ts";
import type { IdentityPublicKey, WireGuardPublicKey } from "./keys.ts";
import type { DnsLabel } from "./names.ts";
import { signServerRecord, verifyServerRecord, type ServerRecord } from "./server-record.ts";

function newIdentity() {
  const pair = generateKeyPairSync("ed25519");
  const idKey = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64");
  return { idKey: idKey as IdentityPublicKey, privateKey: pair.privateKey };
}

const identity = newIdentity();

const record: ServerRecord = {
  name: "web1" as DnsLabel,
  subnet: 3 as SubnetNumber,
  publicKey: Buffer.alloc(32, 7).toString("base64") as WireGuardPublicKey,
  idKey: identity.idKey,
  endpoints: [parseEndpoint("198.51.100.11:31820") as Endpoint],
  nat: false,
  version: "0.1.0",
  rev: 1_700_000_000_000,
};

describe("a server's signed record", () => {
  test("is read back whole by anybody who has only the text", () => {
    const signed = signServerRecord(record, identity.privateKey);
    expect(verifyServerRecord(structuredClone(signed))).toEqual({ ok: true, member: { id: signed.id, ...record } });
  });

  // security-tests: no-member-for-another
  test("does not count when any character of it was changed", () => {
    const signed = signServerRecord(record, identity.privateKey);
    fc.assert(
      fc.property(fc.nat(signed.record.length - 1), fc.integer({ min: 32, max: 126 }), (at, code) => {
        const changed = signed.record.slice(0, at) + String.fromCharCode(code) + signed.record.slice(at + 1);
        fc.pre(changed !== signed.record);
        expect(verifyServerRecord({ ...signed, record: changed }).ok).toBe(false);
      }),
    );
  });

  // security-tests: no-member-for-another
  test("does not count under another server's id or signed by another key", () => {
    const other = newIdentity();
    const signed = signServerRecord(record, identity.privateKey);
    const foreign = signServerRecord({ ...record, idKey: other.idKey }, other.privateKey);
    expect(verifyServerRecord({ ...signed, id: foreign.id }).ok).toBe(false);
    expect(verifyServerRecord({ ...signed, sig: foreign.sig }).ok).toBe(false);
    expect(verifyServerRecord(signServerRecord(record, other.privateKey)).ok).toBe(false);
  });

  test.each([
    ["name", "Web1\nPostUp = touch /tmp/x"],
    ["publicKey", "AAAA"],
    ["endpoints", ["198.51.100.11:31820\nPostUp = x"]],
    ["endpoints", ["evil.example.com:31820"]],
    ["subnet", 255],
    ["version", "1; rm -rf /"],
    ["rev", -1],
  ])("with a bad %s is not there, even when it is signed", (field, value) => {
    const bad = signServerRecord({ ...record, [field]: value }, identity.privateKey);
    expect(verifyServerRecord(bad).ok).toBe(false);
  });

  // security-tests: no-config-text
  test("arbitrary texts never throw", () => {
    const signed = signServerRecord(record, identity.privateKey);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), fc.string(), (text, sig) => {
        expect(verifyServerRecord({ ...signed, record: text, sig }).ok).toBe(false);
      }),
    );
  });
});
