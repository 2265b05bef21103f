import { generateKeyPairSync, randomBytes, type KeyObject } from "node:crypto";
import { Secret } from "../model/secret.ts";

/** A new Ed25519 key (RFC 8032). */
export function generateIdentityKey(): KeyObject {
  return generateKeyPairSync("ed25519").privateKey;
}

/** A bearer token: 32 random bytes in hex. */
export function generateToken(): Secret {
  return new Secret(randomBytes(32).toString("hex"));
}
