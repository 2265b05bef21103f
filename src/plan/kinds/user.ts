import { z } from "zod";
import { PATHS } from "../../model/paths.ts";
import { renderSysusers } from "../../render/system-files.ts";
import type { NodeGoal } from "../goal.ts";
import { planFile, planRestore, type DesiredFile, type SeenFile } from "../managed-file.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

export const USER_KIND = "user";

/** Users, each with a group of its own name. */
export const USERS = ["jiji-corrosion", "jiji-dns"] as const;

/** Groups without a user. */
export const GROUPS = ["jiji"] as const;

/** Manifest target of the users as a whole. */
export const ACCOUNTS = "accounts";

/** Manifest target while they are being made or removed. */
export const ACCOUNTS_IN_CHANGE = "accounts in change";

/**
 * What the manifest knows of the accounts from before: names that were there already, and files that programs which
 * change the user database make beside it (`/etc/passwd-`, a lock file) and that were not there.
 */
export const accountsBeforeSchema = z.object({
  existing: z.array(z.string()),
  absentFiles: z.array(z.string()),
});

export type AccountsBefore = z.infer<typeof accountsBeforeSchema>;

export interface ObservedUsers {
  readonly missing: readonly string[];
  readonly sysusers: SeenFile;
}

export type UserAction =
  | { readonly op: "write"; readonly path: string }
  | { readonly op: "restore"; readonly path: string }
  | { readonly op: "create" }
  | { readonly op: "remove" };

export const SYSUSERS_FILE: DesiredFile = { path: PATHS.sysusers, content: renderSysusers(), mode: 0o644 };

/** The sysusers.d file and the accounts that it names. */
export function planUsers(goal: NodeGoal, observed: ObservedUsers, manifest: Manifest): readonly Step<UserAction>[] {
  if (goal.phase === "teardown") return planRemoval(manifest);
  const steps: Step<UserAction>[] = [];
  const file = planFile(USER_KIND, SYSUSERS_FILE, observed.sysusers);
  if (file !== undefined) steps.push(file);
  const isUnfinished = manifestEntry(manifest, USER_KIND, ACCOUNTS_IN_CHANGE) !== undefined;
  if (observed.missing.length > 0 || isUnfinished) {
    const what = observed.missing.length > 0 ? `create ${observed.missing.join(", ")}` : "finish creating the accounts";
    steps.push({ kind: USER_KIND, target: ACCOUNTS, verb: "create", summary: what, action: { op: "create" } });
  }
  return steps;
}

function planRemoval(manifest: Manifest): readonly Step<UserAction>[] {
  const steps: Step<UserAction>[] = [];
  const accounts = manifestEntry(manifest, USER_KIND, ACCOUNTS);
  if (accounts !== undefined || manifestEntry(manifest, USER_KIND, ACCOUNTS_IN_CHANGE) !== undefined) {
    const { existing } = accountsBeforeSchema.parse(accounts?.before ?? { existing: [], absentFiles: [] });
    const ours = [...USERS, ...GROUPS].filter((name) => !existing.includes(name));
    const summary = `remove ${ours.join(", ")}`;
    steps.push({ kind: USER_KIND, target: ACCOUNTS, verb: "remove", summary, action: { op: "remove" } });
  }
  const file = manifestEntry(manifest, USER_KIND, PATHS.sysusers);
  if (file !== undefined) steps.push(planRestore(USER_KIND, file));
  return steps;
}
