import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { subnetNumberSchema } from "./cluster.ts";
import { parseIdentityPublicKey, parseServerId, serverIdOf } from "./keys.ts";
import { parseDnsLabel } from "./names.ts";
import { branded } from "./schema.ts";

/** The public half of /opt/jiji/identity.json: made once, under the lock, and never derived from a count or an order. */
export const identitySchema = z
  .object({
    id: branded(parseServerId),
    idKey: branded(parseIdentityPublicKey),
    name: branded(parseDnsLabel),
    subnet: subnetNumberSchema,
  })
  .refine(({ id, idKey }) => serverIdOf(idKey) === id, { error: "the id does not belong to its key" });

export type Identity = z.output<typeof identitySchema>;

/** All of /opt/jiji/identity.json (0600 root): the identity and the key that signs this server's record. */
export interface IdentityWithKey {
  readonly identity: Identity;
  readonly privateKey: KeyObject;
}

const fileSchema = z.object({
  version: z.literal(1),
  name: branded(parseDnsLabel),
  subnet: subnetNumberSchema,
  /** Ed25519 private key, PKCS#8 DER (RFC 8410), base64 */
  privateKey: z.string(),
});

/**
 * Reads identity.json. The id and the public half are computed from the private key, so that they cannot disagree with it.
 * Anything malformed gives undefined; the text is secret and never part of an error.
 */
export function parseIdentityFile(text: string): IdentityWithKey | undefined {
  try {
    const { name, subnet, privateKey: base64 } = fileSchema.parse(JSON.parse(text));
    const privateKey = createPrivateKey({ key: Buffer.from(base64, "base64"), format: "der", type: "pkcs8" });
    if (privateKey.asymmetricKeyType !== "ed25519") return undefined;
    const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
    const idKey = parseIdentityPublicKey(spki.subarray(-32).toString("base64"));
    return idKey === undefined ? undefined : { identity: { id: serverIdOf(idKey), idKey, name, subnet }, privateKey };
  } catch {
    return undefined;
  }
}

/** The text of identity.json. It is a secret: only ever written to that file. */
export function encodeIdentityFile(name: string, subnet: number, privateKey: KeyObject): string {
  const der = privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
  return `${JSON.stringify({ version: 1, name, subnet, privateKey: der }, null, 2)}\n`;
}
