import { EMPTY_MEMBERS, encodeMembersFile, parseMembersFile } from "../../model/members-file.ts";
import type { MembersFile } from "../../model/members.ts";
import { PATHS } from "../../model/paths.ts";
import { found, unknown, type Reading } from "../../model/reading.ts";
import { signServerRecord } from "../../model/server-record.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import { known } from "../../plan/managed-file.ts";
import {
  isOwnRecordCurrent,
  MEMBERS_KIND,
  mergeMembers,
  ownRecord,
  planMembers,
  verifiedMembers,
  type MembersAction,
  type ObservedMembers,
} from "../../plan/kinds/members.ts";
import type { Step } from "../../plan/step.ts";
import type { Files, Host } from "../../system/host.ts";
import { readIdentity } from "./identity.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, writeManaged } from "../managed-file.ts";
import { loadWireGuardPublicKey } from "../wireguard-key.ts";

/** Who the members are, this server with its own signed record included. */
export const membersKind: ResourceKind<ObservedMembers, MembersAction> = {
  kind: MEMBERS_KIND,
  observe,
  plan: planMembers,
  execute,
};

async function observe({ files }: Host): Promise<ObservedMembers> {
  const withKey = await readIdentity(files);
  return {
    file: await readMembers(files),
    identity: withKey.state === "found" ? found(withKey.value.identity) : withKey,
    publicKey: await loadWireGuardPublicKey(files),
  };
}

/** members.json; malformed is unknown, never an empty mesh. */
export async function readMembers(files: Files): Promise<Reading<MembersFile>> {
  const text = await files.read(PATHS.members);
  if (text.state !== "found") return text;
  const file = parseMembersFile(text.value);
  return file === undefined ? unknown(`${PATHS.members} is malformed`) : found(file);
}

async function execute({ action }: Step<MembersAction>, context: ApplyContext): Promise<void> {
  const { goal, host } = context;
  if (action.op === "restore") {
    const entry = manifestEntry(context.manifest(), MEMBERS_KIND, action.path);
    if (entry !== undefined) await restoreManaged(host, action.path, entry.before);
    await context.forget(action.path);
    return;
  }
  if (goal.phase === "teardown") throw new Error("teardown writes no members");
  const before = known(await readMembers(host.files), PATHS.members) ?? EMPTY_MEMBERS;
  const merged = mergeMembers(before, goal.phase === "join" ? (goal.brought ?? []) : []);
  const content = encodeMembersFile(await withOwnRecord(merged, context));
  await writeManaged(context, { path: PATHS.members, content, mode: 0o644 });
}

async function withOwnRecord(file: MembersFile, { host, goal }: ApplyContext): Promise<MembersFile> {
  const withKey = known(await readIdentity(host.files), PATHS.identity);
  const publicKey = known(await loadWireGuardPublicKey(host.files), PATHS.wireguardKey);
  if (withKey === undefined || publicKey === undefined || goal.phase === "teardown") {
    throw new Error("there is no identity to sign with");
  }
  const { identity, privateKey } = withKey;
  const now = ownRecord(goal.spec, identity, publicKey);
  if (isOwnRecordCurrent(file, identity, now)) return file;
  const last = verifiedMembers(file).find(({ id }) => id === identity.id);
  const rev = Math.max((last?.rev ?? 0) + 1, host.clock.nowMs());
  const signed = signServerRecord({ ...now, rev }, privateKey);
  return { ...file, members: [...file.members.filter(({ id }) => id !== identity.id), signed] };
}
