import { EMPTY_MEMBERS, encodeMembersFile, parseMembersFile, type MembersFile } from "../model/members-file.ts";
import { verifiedMembers } from "../model/membership.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { known, parseReading, type Reading } from "../model/reading.ts";
import type { SignedServerRecord } from "../model/server-record.ts";
import type { JoinGoal } from "../plan/goal.ts";
import { mergeMembers } from "../plan/kinds/members.ts";
import type { Files } from "../system/host.ts";

/** members.json; malformed is unknown, never an empty mesh. */
export async function loadMembers(files: Files): Promise<Reading<MembersFile>> {
  return parseReading(await files.read(PATHS.members), parseMembersFile, `${PATHS.members} is malformed`);
}

/**
 * Changes members.json, and nothing else writes it: agent, setup and gc run at the same time, and each has to start from what
 * the others have written. `change` is given what stands there (an empty mesh when there is no file) and gives what should
 * stand there; it may add and free, never drop. Gives what stands there afterwards. Throws, with nothing written, when the
 * file cannot be read or `change` throws.
 */
export function changeMembers(files: Files, change: (file: MembersFile) => MembersFile): Promise<MembersFile> {
  return files.withLock(PATHS.membersLock, async () => {
    const before = known(await loadMembers(files), PATHS.members);
    const after = change(before ?? EMPTY_MEMBERS);
    if (before === undefined || encodeMembersFile(after) !== encodeMembersFile(before)) {
      await files.write(PATHS.members, encodeMembersFile(after), { mode: 0o644 });
    }
    return after;
  });
}

/**
 * The goal of a join: the members that this server knows and those that are brought, verified and merged. Throws when
 * what it knows cannot be read, or when a brought record is refused.
 */
export async function joinGoal(
  files: Files,
  spec: NodeSpec,
  brought: readonly SignedServerRecord[],
  rest: Pick<JoinGoal, "expected" | "storeToken" | "restartEngine">,
): Promise<JoinGoal> {
  const file = known(await loadMembers(files), PATHS.members) ?? EMPTY_MEMBERS;
  const members = verifiedMembers(mergeMembers(file, brought, spec.cluster.cidr));
  return { phase: "join", spec, members, brought, ...rest };
}
