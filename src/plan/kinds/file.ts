import { UNIT_FOLDER } from "../../model/units.ts";
import type { NodeGoal } from "../goal.ts";
import { planManagedFile, planRestores, type DesiredFile, type Steps, type SeenFile } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import { stepsOf } from "../step.ts";

export const FILE_KIND = "file";

export interface FileObserved {
  /** empty but for a join */
  readonly desired: readonly DesiredFile[];
  readonly seen: ReadonlyMap<string, SeenFile>;
  /** a unit file has changed and systemd may not know it */
  readonly isReloadDue: boolean;
}

export interface FileAction {
  readonly op: "reload";
}

const step = stepsOf<FileAction>(FILE_KIND);

/**
 * Writes what is desired and differs, puts back what stands in the manifest and is no longer desired, and lets systemd
 * read its unit files again when one of them is among those.
 */
export function planFile(goal: NodeGoal, observed: FileObserved, manifest: Manifest): Steps<FileAction> {
  if (goal.phase === "prepare") return [];
  const wanted = new Set(observed.desired.map(({ path }) => path));
  const files = [
    ...planRestores(FILE_KIND, manifest, wanted),
    ...observed.desired.flatMap((desired) => {
      const seen = observed.seen.get(desired.path);
      if (seen === undefined) throw new Error(`${desired.path} was not looked at`);
      return planManagedFile(FILE_KIND, desired, seen);
    }),
  ];
  const isReloadDue = observed.isReloadDue || files.some(({ target }) => target.startsWith(`${UNIT_FOLDER}/`));
  const reload = step("change", "systemd", "let systemd read its unit files again", { op: "reload" });
  return isReloadDue ? [...files, reload] : files;
}
