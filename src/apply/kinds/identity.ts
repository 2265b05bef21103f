import { parseIdentityFile, encodeIdentityFile, type IdentityWithKey } from "../../model/identity.ts";
import { PATHS } from "../../model/paths.ts";
import { found, unknown, type Reading } from "../../model/reading.ts";
import { IDENTITY_KIND, planIdentity, type IdentityAction, type ObservedIdentity } from "../../plan/kinds/identity.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import type { Files, Host } from "../../system/host.ts";
import { generateIdentityKey } from "../generate-keys.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, writeManaged } from "../managed-file.ts";
import { loadWireGuardPublicKey, makeWireGuardKey } from "../wireguard-key.ts";

/** This server's Ed25519 identity and its WireGuard key: made here, once, and never read by anybody else. */
export const identityKind: ResourceKind<ObservedIdentity, IdentityAction> = {
  kind: IDENTITY_KIND,
  observe,
  plan: planIdentity,
  execute,
};

async function observe({ files }: Host): Promise<ObservedIdentity> {
  const withKey = await readIdentity(files);
  return {
    identity: withKey.state === "found" ? found(withKey.value.identity) : withKey,
    publicKey: await loadWireGuardPublicKey(files),
  };
}

/** identity.json; malformed is unknown, never absent, since another identity would be made then. */
export async function readIdentity(files: Files): Promise<Reading<IdentityWithKey>> {
  const text = await files.read(PATHS.identity);
  if (text.state !== "found") return text;
  const withKey = parseIdentityFile(text.value);
  return withKey === undefined ? unknown(`${PATHS.identity} is malformed`) : found(withKey);
}

async function execute({ action }: Step<IdentityAction>, context: ApplyContext): Promise<void> {
  const { goal, host } = context;
  if (action.op === "restore") {
    const entry = manifestEntry(context.manifest(), IDENTITY_KIND, action.path);
    if (entry !== undefined) await restoreManaged(host, action.path, entry.before);
    await context.forget(action.path);
  } else if (goal.phase === "teardown") {
    throw new Error("teardown makes no keys");
  } else if (action.op === "make-identity") {
    const content = encodeIdentityFile(goal.spec.name, goal.spec.subnet, generateIdentityKey());
    await writeManaged(context, { path: PATHS.identity, content, mode: 0o600, isSecret: true });
  } else {
    const content = `${makeWireGuardKey().reveal()}\n`;
    await writeManaged(context, { path: PATHS.wireguardKey, content, mode: 0o600, isSecret: true });
  }
}
