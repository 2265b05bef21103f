import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { ABSENT } from "../../model/reading.ts";
import { UNIT_FOLDER } from "../../model/units.ts";
import { desiredFiles, type FileInputs } from "../../plan/desired-files.ts";
import { FILE_KIND, planFiles, RELOAD_MARKER, type FileAction, type ObservedFiles } from "../../plan/kinds/file.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import { known, type DesiredFile, type SeenFile } from "../../plan/managed-file.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import type { Files, Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, seeFile, writeManaged } from "../managed-file.ts";
import { clearPending, markPending, observePending } from "../pending-restart.ts";
import { runChecked } from "../run-checked.ts";
import { readToken } from "./token.ts";

/** Files that are written whole and that no other kind owns: spec.json, settings, unit files, Corrosion's. */
export const fileKind: ResourceKind<ObservedFiles, FileAction> = {
  kind: FILE_KIND,
  observe,
  plan: planFiles,
  execute,
};

async function observe(host: Host, goal: NodeGoal): Promise<ObservedFiles> {
  const desired = await desiredNow(host.files, goal);
  const seen = new Map<string, SeenFile>();
  for (const { path } of desired) seen.set(path, await seeFile(host.files, path));
  const pending = known(await observePending(host.files), PATHS.pendingRestarts);
  return { desired, seen, isReloadDue: pending?.has(RELOAD_MARKER) ?? false };
}

async function desiredNow(files: Files, goal: NodeGoal): Promise<readonly DesiredFile[]> {
  if (goal.phase !== "join") return [];
  const token = goal.spec.store.kind === "corrosion" ? await readToken(files, PATHS.corrosionToken) : ABSENT;
  const inputs: FileInputs = { corrosionToken: known(token, PATHS.corrosionToken) };
  return desiredFiles(goal, inputs);
}

async function execute(step: Step<FileAction>, context: ApplyContext): Promise<void> {
  const { host, goal } = context;
  const { action, target } = step;
  if (action.op === "reload") {
    await runChecked(host, ["systemctl", "daemon-reload"]);
    await clearPending(host.files, RELOAD_MARKER);
    return;
  }
  if (target.startsWith(`${UNIT_FOLDER}/`)) await markPending(host.files, RELOAD_MARKER);
  if (action.op === "restore") {
    await restore(step, context);
    return;
  }
  const desired = (await desiredNow(host.files, goal)).find(({ path }) => path === action.path);
  if (desired === undefined) throw new Error(`${action.path} is not desired`);
  if (desired.content === null) {
    throw new JijiError("remote", `${action.path} needs ${PATHS.corrosionToken}, which is not there`, {
      hint: "something removes it; run the command again",
    });
  }
  await writeManaged(context, desired);
}

async function restore(step: Step<FileAction>, { host, manifest, forget }: ApplyContext): Promise<void> {
  const entry = manifestEntry(manifest(), FILE_KIND, step.target);
  if (entry !== undefined) await restoreManaged(host, step.target, entry.before);
  await forget(step.target);
}
