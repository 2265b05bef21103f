import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { MAX_SERVERS, type SubnetNumber } from "./cluster.ts";
import type { Identity } from "./identity.ts";
import { parseIdentityPublicKey, serverIdOf } from "./keys.ts";
import { parseDnsLabel } from "./names.ts";

/** All of /opt/jiji/identity.json (0600 root): the identity and the key that signs this server's record. */
export interface IdentityWithKey {
  readonly identity: Identity;
  readonly privateKey: KeyObject;
}

const schema = z.object({
  version: z.literal(1),
  name: z.string(),
  subnet: z
    .int()
    .min(0)
    .max(MAX_SERVERS - 1),
  /** Ed25519 private key, PKCS#8 DER (RFC 8410), base64 */
  privateKey: z.string(),
});

/**
 * Reads identity.json. The id and the public half are computed from the private key, so that they cannot disagree with it.
 * Anything malformed gives undefined; the text is secret and never part of an error.
 */
export function parseIdentityFile(text: string): IdentityWithKey | undefined {
  try {
    const parsed = schema.parse(JSON.parse(text));
    const privateKey = createPrivateKey({
      key: Buffer.from(parsed.privateKey, "base64"),
      format: "der",
      type: "pkcs8",
    });
    if (privateKey.asymmetricKeyType !== "ed25519") return undefined;
    const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
    const idKey = parseIdentityPublicKey(spki.subarray(-32).toString("base64"));
    const name = parseDnsLabel(parsed.name);
    if (idKey === undefined || name === undefined) return undefined;
    return { identity: { id: serverIdOf(idKey), idKey, name, subnet: parsed.subnet as SubnetNumber }, privateKey };
  } catch {
    return undefined;
  }
}

/** The text of identity.json. It is a secret: only ever written to that file. */
export function encodeIdentityFile(name: string, subnet: number, privateKey: KeyObject): string {
  const der = privateKey.export({ format: "der", type: "pkcs8" }).toString("base64");
  return `${JSON.stringify({ version: 1, name, subnet, privateKey: der }, null, 2)}\n`;
}
