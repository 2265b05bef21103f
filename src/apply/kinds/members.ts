import type { IdentityWithKey } from "../../model/identity.ts";
import type { MembersFile } from "../../model/members-file.ts";
import { verifiedMembers } from "../../model/membership.ts";
import { PATHS } from "../../model/paths.ts";
import { found } from "../../model/reading.ts";
import { nextRev } from "../../model/revision.ts";
import { signServerRecord, type ServerRecord } from "../../model/server-record.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import { known } from "../../plan/managed-file.ts";
import {
  isOwnRecordCurrent,
  MEMBERS_KIND,
  mergeMembers,
  ownRecord,
  planMembers,
  type MembersAction,
  type ObservedMembers,
} from "../../plan/kinds/members.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import { readIdentity } from "./identity.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, stateBefore } from "../managed-file.ts";
import { changeMembers, readMembers } from "../members-file.ts";
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

async function execute({ action }: Step<MembersAction>, context: ApplyContext): Promise<void> {
  const { goal, host } = context;
  if (action.op === "restore") {
    const entry = manifestEntry(context.manifest(), MEMBERS_KIND, action.path);
    if (entry !== undefined) await restoreManaged(host, action.path, entry.before);
    await context.forget(action.path);
    return;
  }
  if (goal.phase === "teardown") throw new Error("teardown writes no members");
  const withKey = known(await readIdentity(host.files), PATHS.identity);
  const publicKey = known(await loadWireGuardPublicKey(host.files), PATHS.wireguardKey);
  if (withKey === undefined || publicKey === undefined) throw new Error("there is no identity to sign with");
  const now = ownRecord(goal.spec, withKey.identity, publicKey);
  const brought = goal.phase === "join" ? (goal.brought ?? []) : [];
  await context.remember(PATHS.members, await stateBefore(host.files, PATHS.members));
  await changeMembers(host.files, (file) =>
    withOwnRecord(mergeMembers(file, brought, goal.spec.cluster.cidr), now, withKey, host.clock.nowMs()),
  );
}

/** The file in which this server's own record says `now`, signed anew if it said something else. */
function withOwnRecord(
  file: MembersFile,
  now: Omit<ServerRecord, "rev">,
  { identity, privateKey }: IdentityWithKey,
  nowMs: number,
): MembersFile {
  if (isOwnRecordCurrent(file, identity, now)) return file;
  const last = verifiedMembers(file).find(({ id }) => id === identity.id);
  const signed = signServerRecord({ ...now, rev: nextRev(last?.rev ?? 0, nowMs) }, privateKey);
  return { ...file, members: [...file.members.filter(({ id }) => id !== identity.id), signed] };
}
