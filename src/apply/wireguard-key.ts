import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { parseWireGuardPublicKey, type WireGuardPublicKey } from "../model/keys.ts";
import { PATHS } from "../model/paths.ts";
import { parseReading, type Reading } from "../model/reading.ts";
import { Secret } from "../model/secret.ts";
import type { Files } from "../system/host.ts";

/** PKCS #8 around a raw X25519 private key (RFC 8410 §7): fixed bytes, then the 32 of the key. */
const PKCS8_HEAD = Buffer.from("302e020100300506032b656e04220420", "hex");

/** A new private key as `wg genkey` prints it. */
export function makeWireGuardKey(): Secret {
  const { privateKey } = generateKeyPairSync("x25519");
  return new Secret(privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32).toString("base64"));
}

/** The public half, as `wg pubkey` prints it; undefined when the text is not 32 bytes in base64. */
export function publicHalf(privateKey: Secret): WireGuardPublicKey | undefined {
  const text = privateKey.reveal().trim();
  const raw = Buffer.from(text, "base64");
  if (raw.length !== 32 || raw.toString("base64") !== text) return undefined;
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return parseWireGuardPublicKey(spki.subarray(-32).toString("base64"));
}

/**
 * The public half of this server's WireGuard key. It is worked out here, so that no other program sees the private
 * half. A key file that is not a key is unknown: nothing may be made in its place.
 */
export async function loadWireGuardPublicKey(files: Files): Promise<Reading<WireGuardPublicKey>> {
  const text = await files.read(PATHS.wireguardKey);
  return parseReading(text, (key) => publicHalf(new Secret(key)), `${PATHS.wireguardKey} does not hold a key`);
}
