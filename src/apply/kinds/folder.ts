import type { NodeGoal } from "../../plan/goal.ts";
import {
  desiredFolders,
  FOLDER_KIND,
  OUTLIVING,
  planFolder,
  type FolderAction,
  type FolderObserved,
} from "../../plan/kinds/folder.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";

/** jiji's folders. */
export const folderKind: ResourceKind<FolderObserved, FolderAction> = {
  kind: FOLDER_KIND,
  observe,
  plan: planFolder,
  execute,
};

async function observe(host: Host, goal: NodeGoal): Promise<FolderObserved> {
  const paths = desiredFolders(goal).map(({ path }) => path);
  return new Map(await Promise.all(paths.map(async (path) => [path, await host.files.stat(path)] as const)));
}

async function execute(
  { action }: Step<FolderAction>,
  { host, before, remember, forget }: ApplyContext,
): Promise<void> {
  if (action.op === "remove") {
    if (before(action.path) === null) await host.files.remove(action.path);
    return forget(action.path);
  }
  const { folder, isThere } = action;
  if (!OUTLIVING.includes(folder.path)) await remember(folder.path, isThere ? "there" : null);
  return host.files.makeFolder(folder.path, folder);
}
