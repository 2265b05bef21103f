import { UNIT_FOLDER } from "../../model/units.ts";
import type { NodeGoal } from "../goal.ts";
import {
  planFile,
  planRestore,
  type DesiredFile,
  type RestoreFileAction,
  type SeenFile,
  type WriteFileAction,
} from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

export const FILE_KIND = "file";

/** What the marker file of PATHS.pendingRestarts is called while systemd has not read its unit files again. */
export const RELOAD_MARKER = "daemon-reload";

export type FileAction = WriteFileAction | RestoreFileAction | { readonly op: "reload" };

export interface ObservedFiles {
  /** empty but for a join */
  readonly desired: readonly DesiredFile[];
  readonly seen: ReadonlyMap<string, SeenFile>;
  /** a unit file has changed and systemd may not know it */
  readonly isReloadDue: boolean;
}

/**
 * Writes what is desired and differs, puts back what stands in the manifest and is no longer desired, and lets systemd
 * read its unit files again when one of them is among those.
 */
export function planFiles(goal: NodeGoal, observed: ObservedFiles, manifest: Manifest): readonly Step<FileAction>[] {
  if (goal.phase === "prepare") return [];
  const wanted = new Set(observed.desired.map(({ path }) => path));
  const steps: Step<FileAction>[] = [];
  // backwards: the folders that were made for the first file go with it, and by then it is the last one in them
  for (const entry of manifest.entries.toReversed()) {
    if (entry.kind === FILE_KIND && !wanted.has(entry.target)) steps.push(planRestore(FILE_KIND, entry));
  }
  for (const desired of observed.desired) {
    const seen = observed.seen.get(desired.path);
    if (seen === undefined) throw new Error(`${desired.path} was not looked at`);
    const step = planFile(FILE_KIND, desired, seen);
    if (step !== undefined) steps.push(step);
  }
  if (observed.isReloadDue || steps.some(({ target }) => target.startsWith(`${UNIT_FOLDER}/`))) steps.push(RELOAD);
  return steps;
}

const RELOAD: Step<FileAction> = {
  kind: FILE_KIND,
  target: "systemd",
  verb: "change",
  summary: "let systemd read its unit files again",
  action: { op: "reload" },
};
