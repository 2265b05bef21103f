import { z } from "zod";
import { JijiError } from "../model/errors.ts";
import { known, type Reading } from "../model/reading.ts";
import { Secret } from "../model/secret.ts";
import type { FileOwner, FileStat } from "../system/host.ts";
import { diffLines } from "./line-diff.ts";
import { entriesOf, type Manifest, type ManifestEntry } from "./manifest.ts";
import { stepsOf, type Step } from "./step.ts";

/** A file that jiji writes whole. */
export interface DesiredFile {
  readonly path: string;
  /** null: it depends on what an earlier step of the same run makes, so it will differ, but nobody knows yet how */
  readonly content: string | null;
  readonly mode: number;
  readonly owner?: string;
  readonly group?: string;
  /** holds a secret: its content is never shown */
  readonly isSecret?: boolean;
  /** units that have to be restarted when it changes */
  readonly restarts?: readonly string[];
  /** the part of the content whose change needs a restart; default: all of it */
  readonly essence?: (content: string) => string;
}

/** What stands at a path now. The content is absent unless it is a plain file. */
export interface SeenFile {
  readonly stat: Reading<FileStat>;
  readonly content: Reading<string>;
}

/** The state from before, as it stands in the manifest. */
export const fileBeforeSchema = z.object({
  /** null: there was none */
  file: z
    .union([
      z.object({ content: z.string(), mode: z.int(), owner: z.string(), group: z.string() }),
      z.object({ link: z.string() }),
    ])
    .nullable(),
  /** folders that had to be made for it, the outermost first */
  madeFolders: z.array(z.string()),
});

export type FileBefore = z.infer<typeof fileBeforeSchema>;

/** A change of a managed file. `apply/managed-file.ts` executes both, whatever kind they belong to. */
export type ManagedFileAction = WriteFileAction | RestoreFileAction;

/** The steps of a kind that has files. */
export type Steps<Action> = readonly Step<Action | ManagedFileAction>[];

export interface WriteFileAction {
  readonly op: "write-file";
  readonly path: string;
  /** wrapped, since it may hold a secret; null as in {@link DesiredFile}: such a step is shown and cannot be executed */
  readonly content: Secret | null;
  readonly owner: FileOwner;
}

export interface RestoreFileAction {
  readonly op: "restore-file";
  readonly path: string;
}

/** The step that makes the file as desired; none when it is. Throws when the file cannot be looked at. */
export function planManagedFile(kind: string, desired: DesiredFile, seen: SeenFile): readonly Step<WriteFileAction>[] {
  const { path, content, mode, owner = "root", group = "root" } = desired;
  const stat = known(seen.stat, path);
  if (stat?.type === "folder" || stat?.type === "other") {
    throw new JijiError("conflict", `${path} is not a file`, { hint: "move it away, then run the command again" });
  }
  const before = stat?.type === "file" ? known(seen.content, path) : undefined;
  const action: WriteFileAction = {
    op: "write-file",
    path,
    content: content === null ? null : new Secret(content),
    owner: { mode, owner, group },
  };
  const step = stepsOf<WriteFileAction>(kind);
  const restarts = desired.restarts ?? [];
  if (stat === undefined) return [step("create", path, `write ${path}`, action, { restarts })];
  if (before !== undefined && before === content && hasOwner(stat, action.owner)) return [];
  const more = {
    details: changeDetails(desired, before, stat),
    restarts: isSameInEssence(desired, before) ? [] : restarts,
  };
  return [step("change", path, `change ${path}`, action, more)];
}

function hasOwner(stat: FileStat, { mode, owner, group }: FileOwner): boolean {
  return stat.mode === mode && stat.owner === owner && stat.group === group;
}

function isSameInEssence({ content, essence = (text) => text }: DesiredFile, before: string | undefined): boolean {
  return before !== undefined && content !== null && essence(before) === essence(content);
}

function changeDetails(desired: DesiredFile, before: string | undefined, stat: FileStat): readonly string[] {
  if (stat.type === "link") return [`was a link to ${stat.target ?? "?"}`];
  if (before === desired.content) return [`mode and owner were ${stat.mode.toString(8)} ${stat.owner}:${stat.group}`];
  if (desired.isSecret === true) return ["its content is not shown, since it holds a secret"];
  return before === undefined || desired.content === null ? [] : diffLines(before, desired.content);
}

/** The step that puts back what stood there before jiji. */
export function planRestore({ kind, target, before }: ManifestEntry): Step<RestoreFileAction> {
  const { file } = fileBeforeSchema.parse(before);
  const step = stepsOf<RestoreFileAction>(kind);
  const action: RestoreFileAction = { op: "restore-file", path: target };
  if (file === null) return step("remove", target, `remove ${target}`, action);
  return step("restore", target, `put back ${target} as it was before jiji`, action);
}

/**
 * Puts back all files of a kind but those that are wanted still, backwards: the folders that were made for the first file go
 * with it, and by then it is the last one in them.
 */
export function planRestores(
  kind: string,
  manifest: Manifest,
  wanted: ReadonlySet<string> = new Set(),
): readonly Step<RestoreFileAction>[] {
  return entriesOf(manifest, kind)
    .filter(({ target }) => target.startsWith("/") && !wanted.has(target))
    .map(planRestore);
}
