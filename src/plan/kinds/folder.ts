import { dirname } from "node:path";
import { PATHS } from "../../model/paths.ts";
import type { Reading } from "../../model/reading.ts";
import type { FileOwner, FileStat } from "../../system/host.ts";
import type { NodeGoal } from "../goal.ts";
import { known } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

export const FOLDER_KIND = "folder";

/** jiji's own folder. It is there before the first manifest, since uploads wait in it; teardown's very end removes it. */
export const HOME = dirname(PATHS.manifest);

export interface DesiredFolder extends FileOwner {
  readonly path: string;
}

export interface FolderAction {
  readonly op: "make" | "remove";
  readonly path: string;
}

/** Every folder of a member; those of services belong to the users of the services. */
export function desiredFolders(goal: NodeGoal): readonly DesiredFolder[] {
  if (goal.phase === "teardown") return [];
  const { spec } = goal;
  const corrosion = { owner: "jiji-corrosion", group: "jiji-corrosion" };
  const isHolder = spec.store.kind === "embedded" && spec.store.holder === spec.subnet;
  return [
    { path: HOME, mode: 0o755 },
    { path: dirname(PATHS.executable), mode: 0o755 },
    { path: dirname(PATHS.agentSettings), mode: 0o755 },
    { path: dirname(PATHS.dnsSettings), mode: 0o755 },
    { path: dirname(PATHS.firewall), mode: 0o755 },
    { path: PATHS.corrosionFolder, mode: 0o750, ...corrosion },
    { path: PATHS.corrosionSchemaFolder, mode: 0o755 },
    { path: dirname(PATHS.dnsState), mode: 0o750, owner: "jiji-dns", group: "jiji-dns" },
    ...(isHolder ? [{ path: PATHS.embeddedStoreFolder, mode: 0o750, ...corrosion }] : []),
    { path: PATHS.run, mode: 0o755 },
  ];
}

/** What outlives a folder of jiji: its own lock is in the one, its manifest in the other. */
export const OUTLIVING: readonly string[] = [HOME, PATHS.run];

/** Makes folders and corrects their owners; folders that jiji made and no longer wants are removed with all they hold. */
export function planFolders(
  goal: NodeGoal,
  observed: ReadonlyMap<string, Reading<FileStat>>,
  manifest: Manifest,
): readonly Step<FolderAction>[] {
  const desired = desiredFolders(goal);
  const wanted = new Set(desired.map(({ path }) => path));
  const removals = manifest.entries
    .filter(({ kind, target }) => kind === FOLDER_KIND && !wanted.has(target))
    .toReversed()
    .map(({ target }) => step("remove", target, `remove ${target} and all it holds`));
  return [...removals, ...desired.flatMap((folder) => planFolder(folder, observed.get(folder.path)))];
}

function planFolder(folder: DesiredFolder, seen: Reading<FileStat> | undefined): readonly Step<FolderAction>[] {
  const { path, mode, owner = "root", group = "root" } = folder;
  const stat = seen === undefined ? undefined : known(seen, path);
  if (stat?.type !== "folder") return [step("create", path, `make ${path}`)];
  if (stat.mode === mode && stat.owner === owner && stat.group === group) return [];
  const is = `${mode.toString(8)} ${owner}:${group}`;
  return [step("change", path, `make ${path} ${is} (was ${stat.mode.toString(8)} ${stat.owner}:${stat.group})`)];
}

function step(verb: "create" | "change" | "remove", path: string, summary: string): Step<FolderAction> {
  return {
    kind: FOLDER_KIND,
    target: path,
    verb,
    summary,
    action: { op: verb === "remove" ? "remove" : "make", path },
  };
}
