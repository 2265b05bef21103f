import { EMPTY_MEMBERS } from "../model/members-file.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import type { SignedServerRecord } from "../model/server-record.ts";
import type { JoinGoal } from "../plan/goal.ts";
import { known } from "../plan/managed-file.ts";
import { mergeMembers, verifiedMembers } from "../plan/kinds/members.ts";
import type { Files } from "../system/host.ts";
import { readMembers } from "./kinds/members.ts";

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
  const file = known(await readMembers(files), PATHS.members) ?? EMPTY_MEMBERS;
  const members = verifiedMembers(mergeMembers(file, brought));
  return { phase: "join", spec, members, brought, ...rest };
}
