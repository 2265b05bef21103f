import { dirname } from "node:path";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { ABSENT, known, type Reading } from "../../model/reading.ts";
import type { FileOwner, FileStat } from "../../system/host.ts";
import type { NodeGoal } from "../goal.ts";
import { entriesOf, type Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const FOLDER_KIND = "folder";

/** jiji's own folder. It is there before the first manifest, since uploads wait in it; teardown's very end removes it. */
export const HOME = dirname(PATHS.manifest);

export interface DesiredFolder extends FileOwner {
  readonly path: string;
}

export type FolderObserved = ReadonlyMap<string, Reading<FileStat>>;

export type FolderAction =
  | { readonly op: "make"; readonly folder: DesiredFolder; readonly isThere: boolean }
  | { readonly op: "remove"; readonly path: string };

const step = stepsOf<FolderAction>(FOLDER_KIND);

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
export function planFolder(
  goal: NodeGoal,
  observed: FolderObserved,
  manifest: Manifest,
): readonly Step<FolderAction>[] {
  const desired = desiredFolders(goal);
  const wanted = new Set(desired.map(({ path }) => path));
  const removals = entriesOf(manifest, FOLDER_KIND)
    .filter(({ target }) => !wanted.has(target))
    .map(({ target: path }) => step("remove", path, `remove ${path} and all it holds`, { op: "remove", path }));
  return [...removals, ...desired.flatMap((folder) => planOne(folder, observed.get(folder.path) ?? ABSENT))];
}

function planOne(folder: DesiredFolder, seen: Reading<FileStat>): readonly Step<FolderAction>[] {
  const { path, mode, owner = "root", group = "root" } = folder;
  const stat = known(seen, path);
  if (stat === undefined) return [step("create", path, `make ${path}`, { op: "make", folder, isThere: false })];
  if (stat.type !== "folder") {
    throw new JijiError("conflict", `${path} is not a folder`, { hint: "move it away, then run the command again" });
  }
  if (stat.mode === mode && stat.owner === owner && stat.group === group) return [];
  const is = `${mode.toString(8)} ${owner}:${group}`;
  const summary = `make ${path} ${is} (was ${stat.mode.toString(8)} ${stat.owner}:${stat.group})`;
  return [step("change", path, summary, { op: "make", folder, isThere: true })];
}
