import { expect, test } from "bun:test";
import { inspect } from "node:util";
import {
  parseServerId,
  parseWireGuardPublicKey,
  serverIdOf,
  type IdentityPublicKey,
  type WireGuardPublicKey,
} from "./keys.ts";
import { Secret } from "./secret.ts";

const key = Buffer.alloc(32, 1).toString("base64");

test("a key is 32 bytes in canonical base64 and nothing else", () => {
  expect(parseWireGuardPublicKey(key)).toBe(key as WireGuardPublicKey);
  // The last character of 32 bytes has two unused bits: a text with them set decodes to the same bytes, and is another text.
  expect(parseWireGuardPublicKey(`${key.slice(0, 42)}F=`)).toBeUndefined();
  for (const bad of ["", key.slice(1), `${key}\n`, `${key} `, key.replace("=", "A")])
    expect(parseWireGuardPublicKey(bad)).toBeUndefined();
});

test("an id is a function of the identity key", () => {
  const id = serverIdOf(key as IdentityPublicKey);
  expect(parseServerId(id)).toBe(id);
  expect(id).toBe(serverIdOf(key as IdentityPublicKey));
});

test("a secret shows itself only when asked", () => {
  const secret = new Secret("hunter2");
  expect(`${String(secret)} ${JSON.stringify({ secret })} ${inspect({ secret })} ${Bun.inspect(secret)}`).not.toContain(
    "hunter2",
  );
  expect(secret.reveal()).toBe("hunter2");
});
