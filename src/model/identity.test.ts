import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { encodeIdentityFile, parseIdentityFile } from "./identity.ts";
import { signServerRecord, verifyServerRecord, type ServerRecord } from "./server-record.ts";

test("what was written is read back, and its key signs for the id that it gives", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const read = parseIdentityFile(encodeIdentityFile("web1", 3, privateKey));
  if (read === undefined) throw new Error("refused");
  expect(read.identity).toMatchObject({ name: "web1", subnet: 3 });
  const record = {
    name: read.identity.name,
    subnet: read.identity.subnet,
    publicKey: Buffer.alloc(32, 7).toString("base64"),
    idKey: read.identity.idKey,
    endpoints: [],
    nat: true,
    version: "0.1.0",
    rev: 1,
  } as unknown as ServerRecord;
  const verified = verifyServerRecord(signServerRecord(record, read.privateKey));
  expect(verified).toMatchObject({ ok: true, member: { id: read.identity.id } });
});

test.each(["", "{}", '{"version":1,"name":"web1","subnet":3,"privateKey":"AAAA"}', "null"])(
  "%p is no identity",
  (text) => {
    expect(parseIdentityFile(text)).toBeUndefined();
  },
);
