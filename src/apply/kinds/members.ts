import type { IdentityWithKey } from "../../model/identity.ts";
import type { MembersFile } from "../../model/members-file.ts";
import { verifiedMembers } from "../../model/membership.ts";
import { PATHS } from "../../model/paths.ts";
import { known, mapReading } from "../../model/reading.ts";
import { nextRev } from "../../model/revision.ts";
import { signServerRecord, type ServerRecord } from "../../model/server-record.ts";
import {
  isOwnRecordCurrent,
  MEMBERS_KIND,
  mergeMembers,
  ownRecord,
  planMembers,
  type MembersAction,
  type MembersObserved,
} from "../../plan/kinds/members.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import { loadIdentity } from "./identity.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { rememberFile } from "../managed-file.ts";
import { changeMembers, loadMembers } from "../members-file.ts";
import { loadWireGuardPublicKey } from "../wireguard-key.ts";

/** Who the members are, this server with its own signed record included. */
export const membersKind: ResourceKind<MembersObserved, MembersAction> = {
  kind: MEMBERS_KIND,
  observe,
  plan: planMembers,
  execute,
};

async function observe({ files }: Host): Promise<MembersObserved> {
  return {
    file: await loadMembers(files),
    identity: mapReading(await loadIdentity(files), ({ identity }) => identity),
    publicKey: await loadWireGuardPublicKey(files),
  };
}

async function execute({ action }: Step<MembersAction>, context: ApplyContext): Promise<void> {
  const { files, clock } = context.host;
  const { spec, brought } = action;
  const withKey = known(await loadIdentity(files), PATHS.identity);
  const publicKey = known(await loadWireGuardPublicKey(files), PATHS.wireguardKey);
  if (withKey === undefined || publicKey === undefined) throw new Error("there is no identity to sign with");
  const now = ownRecord(spec, withKey.identity, publicKey);
  await rememberFile(context, PATHS.members);
  await changeMembers(files, (file) =>
    withOwnRecord(mergeMembers(file, brought, spec.cluster.cidr), now, withKey, clock.nowMs()),
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
