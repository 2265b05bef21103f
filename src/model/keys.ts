import { createHash } from "node:crypto";
import type { Brand } from "./brand.ts";

/** A WireGuard public key (Curve25519, 32 bytes) in base64 with padding: 44 characters, canonical. */
export type WireGuardPublicKey = Brand<string, "WireGuardPublicKey">;

/** The public half of a server's Ed25519 identity (RFC 8032, 32 bytes) in base64 with padding, canonical. */
export type IdentityPublicKey = Brand<string, "IdentityPublicKey">;

/** A server's id: the first 16 bytes of SHA-256 over its identity's public half, 32 lower-case hex digits. */
export type ServerId = Brand<string, "ServerId">;

/** A SHA-256 digest, 64 lower-case hex digits. */
export type Sha256 = Brand<string, "Sha256">;

function is32BytesInBase64(text: string): boolean {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return false;
  const bytes = Buffer.from(text, "base64");
  return bytes.length === 32 && bytes.toString("base64") === text;
}

/** Reads 32 bytes in canonical base64; undefined for anything else. */
export function parseWireGuardPublicKey(text: string): WireGuardPublicKey | undefined {
  return is32BytesInBase64(text) ? (text as WireGuardPublicKey) : undefined;
}

/** Reads 32 bytes in canonical base64; undefined for anything else. */
export function parseIdentityPublicKey(text: string): IdentityPublicKey | undefined {
  return is32BytesInBase64(text) ? (text as IdentityPublicKey) : undefined;
}

/** Reads 32 lower-case hex digits; undefined for anything else. */
export function parseServerId(text: string): ServerId | undefined {
  return /^[0-9a-f]{32}$/.test(text) ? (text as ServerId) : undefined;
}

/** Reads 64 lower-case hex digits; undefined for anything else. */
export function parseSha256(text: string): Sha256 | undefined {
  return /^[0-9a-f]{64}$/.test(text) ? (text as Sha256) : undefined;
}

/** The id that belongs to an identity key. */
export function serverIdOf(key: IdentityPublicKey): ServerId {
  return createHash("sha256").update(Buffer.from(key, "base64")).digest("hex").slice(0, 32) as ServerId;
}

/** SHA-256 of bytes or of a text's UTF-8. */
export function sha256Of(content: string | Uint8Array): Sha256 {
  return createHash("sha256").update(content).digest("hex") as Sha256;
}
