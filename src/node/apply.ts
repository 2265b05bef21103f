import { resourceKinds } from "../apply/kinds.ts";
import { joinGoal } from "../apply/members-file.ts";
import type { AnyResourceKind } from "../apply/kind.ts";
import { applyGoal, planGoal, publicStep } from "../apply/loop.ts";
import { loadIdentity } from "../apply/kinds/identity.ts";
import { loadMembers } from "../apply/members-file.ts";
import { serviceProbes } from "../apply/service-probes.ts";
import { parseToken, loadToken } from "../apply/kinds/token.ts";
import { JijiError } from "../model/errors.ts";
import type { ApplyDone } from "../model/node/apply.ts";
import type { CheckedRequestOf } from "../model/node/subcommands.ts";
import { PATHS } from "../model/paths.ts";
import type { Secret } from "../model/secret.ts";
import type { SignedServerRecord } from "../model/server-record.ts";
import type { NodeGoal } from "../plan/goal.ts";
import type { Host } from "../system/host.ts";
import { withApplyLock } from "./apply-lock.ts";
import type { Call } from "./call.ts";

/** `jiji node apply`: does, or with `dryRun` only shows, what the goal needs. */
export async function runNodeApply(
  request: CheckedRequestOf<"apply">,
  { host, say }: Call<"apply">,
  kinds: readonly AnyResourceKind[] = resourceKinds(serviceProbes(host)),
): Promise<void> {
  const goal = await goalOf(request, host);
  if (request.dryRun) {
    const { steps, notes } = await planGoal(host, kinds, goal);
    say({ type: "plan", steps: steps.map(publicStep) });
    return say({ type: "done", notes });
  }
  await withApplyLock(goal, async () => {
    const { notes } = await applyGoal({ host, kinds, goal, onEvent: say });
    say(await doneEvent(host, goal, notes));
  });
}

async function goalOf({ goal, restartEngine, storeToken }: CheckedRequestOf<"apply">, host: Host): Promise<NodeGoal> {
  if (goal.phase === "teardown") return { phase: "teardown", restartEngine };
  if (goal.phase === "prepare") return { phase: "prepare", spec: goal.spec };
  const token = storeToken === undefined ? undefined : parseToken(storeToken);
  if (storeToken !== undefined && token === undefined) {
    throw new JijiError("usage", "the store's token is malformed", {
      hint: "use the same release of jiji on both sides",
    });
  }
  return joinGoal(host.files, goal.spec, goal.members, {
    expected: goal.expected,
    restartEngine,
    ...(token === undefined ? {} : { storeToken: token }),
  });
}

async function doneEvent(host: Host, goal: NodeGoal, notes: readonly string[]): Promise<ApplyDone> {
  if (goal.phase === "teardown") return { type: "done", notes };
  const record = await ownSignedRecord(host);
  const token = goal.phase === "prepare" ? await holderToken(host, goal) : undefined;
  return {
    type: "done",
    notes,
    ...(record === undefined ? {} : { record }),
    ...(token === undefined ? {} : { storeToken: token.reveal() }),
  };
}

/** The record by which the other members know this server. */
async function ownSignedRecord({ files }: Host): Promise<SignedServerRecord | undefined> {
  const [identity, members] = [await loadIdentity(files), await loadMembers(files)];
  if (identity.state !== "found" || members.state !== "found") return undefined;
  return members.value.members.find(({ id }) => id === identity.value.identity.id);
}

/** The embedded store's token leaves its holder once, over SSH, for the members that join. */
async function holderToken({ files }: Host, goal: NodeGoal): Promise<Secret | undefined> {
  if (goal.phase === "teardown") return undefined;
  const { store, subnet } = goal.spec;
  if (store.kind !== "embedded" || store.holder !== subnet) return undefined;
  const token = await loadToken(files, PATHS.embeddedStoreToken);
  return token.state === "found" ? token.value : undefined;
}
