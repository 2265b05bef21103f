import { JijiError } from "../../model/errors.ts";
import type { Reading } from "../../model/reading.ts";
import { desiredFolders, FOLDER_KIND, OUTLIVING, planFolders, type FolderAction } from "../../plan/kinds/folder.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import type { FileStat, Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";

type ObservedFolders = ReadonlyMap<string, Reading<FileStat>>;

/** jiji's folders. */
export const folderKind: ResourceKind<ObservedFolders, FolderAction> = {
  kind: FOLDER_KIND,
  observe,
  plan: planFolders,
  execute,
};

async function observe(host: Host, goal: NodeGoal): Promise<ObservedFolders> {
  const seen = new Map<string, Reading<FileStat>>();
  for (const { path } of desiredFolders(goal)) seen.set(path, await host.files.stat(path));
  return seen;
}

async function execute({ action }: Step<FolderAction>, context: ApplyContext): Promise<void> {
  const { files } = context.host;
  const { path } = action;
  if (action.op === "remove") {
    const entry = manifestEntry(context.manifest(), FOLDER_KIND, path);
    if (entry?.before === null) await files.remove(path);
    await context.forget(path);
    return;
  }
  const folder = desiredFolders(context.goal).find((desired) => desired.path === path);
  if (folder === undefined) throw new Error(`${path} is not desired`);
  const stat = await files.stat(path);
  if (stat.state === "found" && stat.value.type !== "folder") {
    throw new JijiError("conflict", `${path} is not a folder`, { hint: "move it away, then run the command again" });
  }
  if (!OUTLIVING.includes(path)) await context.remember(path, stat.state === "absent" ? null : "there");
  await files.makeFolder(path, folder);
}
