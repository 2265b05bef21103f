import { createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { z } from "zod";
import { parseEndpoint } from "./address.ts";
import { subnetNumberSchema } from "./cluster.ts";
import {
  parseIdentityPublicKey,
  parseServerId,
  parseWireGuardPublicKey,
  serverIdOf,
  type IdentityPublicKey,
  type ServerId,
} from "./keys.ts";
import { parseDnsLabel } from "./names.ts";
import { branded, list } from "./schema.ts";

/** What a server says of itself to the mesh. Only that server makes it, signed with its identity key. */
const recordSchema = z
  .object({
    name: branded(parseDnsLabel),
    subnet: subnetNumberSchema,
    publicKey: branded(parseWireGuardPublicKey),
    idKey: branded(parseIdentityPublicKey),
    /** where peers reach its WireGuard, best first; literal addresses only; may be empty behind NAT */
    endpoints: list(branded(parseEndpoint), 16),
    /** cannot be reached from outside: peers wait for it to call */
    nat: z.boolean(),
    /** release of jiji that wrote the record */
    version: z.string().regex(/^[0-9A-Za-z.+-]{1,40}$/),
    /** the owner's own counter (revision.ts): the larger is the newer */
    rev: z.int().min(0),
  })
  .readonly();

export type ServerRecord = z.output<typeof recordSchema>;

/**
 * A record as it travels and is stored: the signed text, verbatim, and the signature over it. The schema checks only the
 * shape; {@link verifyServerRecord} checks the rest.
 */
export const signedServerRecordSchema = z
  .object({
    id: branded(parseServerId),
    /** JSON of a {@link ServerRecord} */
    record: z.string().max(4096),
    /** Ed25519 over {@link signedText}, base64 */
    sig: z.string().max(200),
  })
  .readonly();

export type SignedServerRecord = z.output<typeof signedServerRecordSchema>;

/** A verified record together with its server's id. */
export interface Member extends ServerRecord {
  readonly id: ServerId;
}

function signedText(record: string): Buffer {
  return Buffer.from(`jiji server record\n${record}`, "utf8");
}

/** Signs a record with the server's Ed25519 private key. */
export function signServerRecord(record: ServerRecord, privateKey: KeyObject): SignedServerRecord {
  const text = JSON.stringify({
    name: record.name,
    subnet: record.subnet,
    publicKey: record.publicKey,
    idKey: record.idKey,
    endpoints: record.endpoints,
    nat: record.nat,
    version: record.version,
    rev: record.rev,
  });
  return {
    id: serverIdOf(record.idKey),
    record: text,
    sig: sign(null, signedText(text), privateKey).toString("base64"),
  };
}

/** A node:crypto key from the 32 raw bytes of an Ed25519 public key (RFC 8410 §4: fixed SPKI prefix). */
export function identityKeyObject(key: IdentityPublicKey): KeyObject {
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(key, "base64")]);
  return createPublicKey({ key: spki, format: "der", type: "spki" });
}

/**
 * Reads and verifies a record: it parses, its id is the hash of its identity key, and that key signed the text.
 * Anything else gives the reason as text; such a record is treated as not there.
 */
export function verifyServerRecord(
  signed: SignedServerRecord,
): { readonly ok: true; readonly member: Member } | { readonly ok: false; readonly why: string } {
  let json: unknown;
  try {
    json = JSON.parse(signed.record);
  } catch {
    return { ok: false, why: "the record is not JSON" };
  }
  const parsed = recordSchema.safeParse(json);
  if (!parsed.success) {
    return { ok: false, why: `the record's ${parsed.error.issues[0]?.path.join(".") || "shape"} is malformed` };
  }
  const record = parsed.data;
  if (serverIdOf(record.idKey) !== signed.id) return { ok: false, why: "the id does not belong to the identity key" };
  const signature = Buffer.from(signed.sig, "base64");
  if (signature.length !== 64 || !verify(null, signedText(signed.record), identityKeyObject(record.idKey), signature)) {
    return { ok: false, why: "the signature is not the identity key's" };
  }
  return { ok: true, member: { id: signed.id, ...record } };
}
