import { z } from "zod";
import { JijiError } from "../model/errors.ts";
import type { Reading } from "../model/reading.ts";
import type { FileStat } from "../system/host.ts";
import { diffLines } from "./line-diff.ts";
import type { ManifestEntry } from "./manifest.ts";
import type { Step } from "./step.ts";

/** A file that jiji writes whole. */
export interface DesiredFile {
  readonly path: string;
  /** null: it depends on something that an earlier step of the same run makes, so it is known to differ, not how */
  readonly content: string | null;
  readonly mode: number;
  readonly owner?: string;
  readonly group?: string;
  /** holds a secret: its content is never shown */
  readonly isSecret?: boolean;
  /** units that have to be restarted when it changes */
  readonly restarts?: readonly string[];
  /** what of the content a restart is for; default: all of it */
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

export interface WriteFileAction {
  readonly op: "write";
  readonly path: string;
}

export interface RestoreFileAction {
  readonly op: "restore";
  readonly path: string;
}

/** The step that makes the file as desired; undefined when it is. Throws when the file cannot be looked at. */
export function planFile(kind: string, desired: DesiredFile, seen: SeenFile): Step<WriteFileAction> | undefined {
  const { path } = desired;
  const stat = known(seen.stat, path);
  if (stat?.type === "folder" || stat?.type === "other") {
    throw new JijiError("conflict", `${path} is not a file`, { hint: "move it away, then run the command again" });
  }
  const before = stat?.type === "file" ? known(seen.content, path) : undefined;
  const action: WriteFileAction = { op: "write", path };
  const restarts = desired.restarts ?? [];
  if (stat === undefined) return { kind, target: path, verb: "create", summary: `write ${path}`, restarts, action };
  if (before !== undefined && before === desired.content && hasOwner(stat, desired)) return undefined;
  return {
    kind,
    target: path,
    verb: "change",
    summary: `change ${path}`,
    details: changeDetails(desired, before, stat),
    restarts: isSameInEssence(desired, before) ? [] : restarts,
    action,
  };
}

function hasOwner(stat: FileStat, { mode, owner = "root", group = "root" }: DesiredFile): boolean {
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
export function planRestore(kind: string, { target, before }: ManifestEntry): Step<RestoreFileAction> {
  const { file } = fileBeforeSchema.parse(before);
  const action: RestoreFileAction = { op: "restore", path: target };
  if (file === null) return { kind, target, verb: "remove", summary: `remove ${target}`, action };
  return { kind, target, verb: "restore", summary: `put back ${target} as it was before jiji`, action };
}

/** The value of a reading; undefined when it is absent. Throws a {@link JijiError} when it is unknown. */
export function known<T>(reading: Reading<T>, what: string): T | undefined {
  if (reading.state === "found") return reading.value;
  if (reading.state === "absent") return undefined;
  throw new JijiError("remote", `could not look at ${what}: ${reading.why}`, {
    hint: "nothing was changed there; make it readable for root, then run the command again",
  });
}
