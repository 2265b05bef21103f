import { generateKeyPairSync } from "node:crypto";
import { parseIdentityFile, encodeIdentityFile, type IdentityWithKey } from "../../model/identity.ts";
import { PATHS } from "../../model/paths.ts";
import { mapReading, parseReading, type Reading } from "../../model/reading.ts";
import { IDENTITY_KIND, planIdentity, type IdentityAction, type IdentityObserved } from "../../plan/kinds/identity.ts";
import type { Step } from "../../plan/step.ts";
import type { Files, Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { writeManaged } from "../managed-file.ts";
import { loadWireGuardPublicKey, makeWireGuardKey } from "../wireguard-key.ts";

/** This server's Ed25519 identity and its WireGuard key: made here, once, and never read by anybody else. */
export const identityKind: ResourceKind<IdentityObserved, IdentityAction> = {
  kind: IDENTITY_KIND,
  observe,
  plan: planIdentity,
  execute,
};

async function observe({ files }: Host): Promise<IdentityObserved> {
  return {
    identity: mapReading(await loadIdentity(files), ({ identity }) => identity),
    publicKey: await loadWireGuardPublicKey(files),
  };
}

/** identity.json; malformed is unknown, never absent: an absent identity is made anew. */
export async function loadIdentity(files: Files): Promise<Reading<IdentityWithKey>> {
  return parseReading(await files.read(PATHS.identity), parseIdentityFile, `${PATHS.identity} is malformed`);
}

async function execute({ action }: Step<IdentityAction>, context: ApplyContext): Promise<void> {
  if (action.op === "make-identity") {
    // Ed25519 (RFC 8032)
    const { privateKey } = generateKeyPairSync("ed25519");
    const content = encodeIdentityFile(action.name, action.subnet, privateKey);
    return writeManaged(context, PATHS.identity, content, { mode: 0o600 });
  }
  return writeManaged(context, PATHS.wireguardKey, `${makeWireGuardKey().reveal()}\n`, { mode: 0o600 });
}
