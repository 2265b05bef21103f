import { PATHS } from "../../model/paths.ts";
import { ABSENT, known } from "../../model/reading.ts";
import { desiredFiles } from "../../plan/desired-files.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import { FILE_KIND, planFile, type FileAction, type FileObserved } from "../../plan/kinds/file.ts";
import type { DesiredFile, SeenFile } from "../../plan/managed-file.ts";
import type { Files, Host } from "../../system/host.ts";
import type { ResourceKind } from "../kind.ts";
import { seeFile } from "../managed-file.ts";
import { observePending, reloadUnits, RELOAD_MARKER } from "../units.ts";
import { loadToken } from "./token.ts";

/** Files that are written whole and that no other kind owns: spec.json, settings, unit files, Corrosion's. */
export const fileKind: ResourceKind<FileObserved, FileAction> = {
  kind: FILE_KIND,
  observe,
  plan: planFile,
  execute: (_step, { host }) => reloadUnits(host),
};

async function observe(host: Host, goal: NodeGoal): Promise<FileObserved> {
  const desired = await desiredNow(host.files, goal);
  const seen = new Map<string, SeenFile>();
  for (const { path } of desired) seen.set(path, await seeFile(host.files, path));
  const pending = known(await observePending(host.files), PATHS.pendingRestarts);
  return { desired, seen, isReloadDue: pending?.has(RELOAD_MARKER) ?? false };
}

async function desiredNow(files: Files, goal: NodeGoal): Promise<readonly DesiredFile[]> {
  if (goal.phase !== "join") return [];
  const token = goal.spec.store.kind === "corrosion" ? await loadToken(files, PATHS.corrosionToken) : ABSENT;
  return desiredFiles(goal, { corrosionToken: known(token, PATHS.corrosionToken) });
}
