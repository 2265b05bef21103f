import { z } from "zod";
import { PATHS } from "../../model/paths.ts";
import { renderSysusers } from "../../render/system-files.ts";
import type { NodeGoal } from "../goal.ts";
import { planManagedFile, planRestores, type DesiredFile, type Steps, type SeenFile } from "../managed-file.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import { stepsOf } from "../step.ts";

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

export interface UserObserved {
  readonly missing: readonly string[];
  readonly sysusers: SeenFile;
}

export interface UserAction {
  readonly op: "create" | "remove";
}

const step = stepsOf<UserAction>(USER_KIND);

const SYSUSERS_FILE: DesiredFile = { path: PATHS.sysusers, content: renderSysusers(), mode: 0o644 };

/** The sysusers.d file and the accounts that it names. */
export function planUser(goal: NodeGoal, observed: UserObserved, manifest: Manifest): Steps<UserAction> {
  const isUnfinished = manifestEntry(manifest, USER_KIND, ACCOUNTS_IN_CHANGE) !== undefined;
  const accounts = manifestEntry(manifest, USER_KIND, ACCOUNTS);
  if (goal.phase === "teardown") {
    const files = planRestores(USER_KIND, manifest);
    if (accounts === undefined && !isUnfinished) return files;
    const { existing } = accountsBeforeSchema.parse(accounts?.before ?? { existing: [], absentFiles: [] });
    const ours = [...USERS, ...GROUPS].filter((name) => !existing.includes(name));
    return [step("remove", ACCOUNTS, `remove ${ours.join(", ")}`, { op: "remove" }), ...files];
  }
  const files = planManagedFile(USER_KIND, SYSUSERS_FILE, observed.sysusers);
  if (observed.missing.length === 0 && !isUnfinished) return files;
  const what = observed.missing.length > 0 ? `create ${observed.missing.join(", ")}` : "finish creating the accounts";
  return [...files, step("create", ACCOUNTS, what, { op: "create" })];
}
