import { PATHS } from "../../model/paths.ts";
import { known } from "../../plan/managed-file.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import {
  ACCOUNTS,
  ACCOUNTS_IN_CHANGE,
  accountsBeforeSchema,
  GROUPS,
  planUsers,
  SYSUSERS_FILE,
  USER_KIND,
  USERS,
  type AccountsBefore,
  type ObservedUsers,
  type UserAction,
} from "../../plan/kinds/user.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, seeFile, writeManaged } from "../managed-file.ts";
import { runChecked } from "../run-checked.ts";

/** The system users of the services. After teardown the user database is byte for byte as it was. */
export const userKind: ResourceKind<ObservedUsers, UserAction> = {
  kind: USER_KIND,
  observe,
  plan: planUsers,
  execute,
};

const DATABASES = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"] as const;

/** Programs that change the user database leave the version before beside it … */
const BACKUPS = DATABASES.map((name) => `/etc/${name}-`);

/** … and make this lock file, which stays. */
const LOCK_FILE = "/etc/.pwd.lock";

function aside(backup: string): string {
  return `${backup.replace("/etc/", "/etc/.")}.jiji-aside`;
}

async function observe(host: Host, goal: NodeGoal): Promise<ObservedUsers> {
  const sysusers = await seeFile(host.files, PATHS.sysusers);
  if (goal.phase === "teardown") return { missing: [], sysusers };
  const { users, groups } = await accountNames(host);
  const missing = [...USERS.filter((name) => !users.has(name)), ...GROUPS.filter((name) => !groups.has(name))];
  return { missing, sysusers };
}

async function accountNames(host: Host): Promise<{ readonly users: Set<string>; readonly groups: Set<string> }> {
  const names = async (path: string): Promise<Set<string>> => {
    const text = known(await host.files.read(path), path) ?? "";
    return new Set(text.split("\n").map((line) => line.slice(0, Math.max(0, line.indexOf(":")))));
  };
  return { users: await names("/etc/passwd"), groups: await names("/etc/group") };
}

async function execute({ action }: Step<UserAction>, context: ApplyContext): Promise<void> {
  const { host } = context;
  switch (action.op) {
    case "write":
      await writeManaged(context, SYSUSERS_FILE);
      return;
    case "restore": {
      const entry = manifestEntry(context.manifest(), USER_KIND, action.path);
      if (entry !== undefined) await restoreManaged(host, action.path, entry.before);
      await context.forget(action.path);
      return;
    }
    case "create":
      await create(context);
      return;
    case "remove":
      await remove(context);
      return;
  }
}

async function create(context: ApplyContext): Promise<void> {
  const { host } = context;
  const { users, groups } = await accountNames(host);
  const existing = [...USERS.filter((name) => users.has(name)), ...GROUPS.filter((name) => groups.has(name))];
  await context.remember(ACCOUNTS, { existing, absentFiles: await absentByProducts(host) } satisfies AccountsBefore);
  await keepingBackups(context, async () => {
    await runChecked(host, ["systemd-sysusers", PATHS.sysusers]);
  });
}

async function remove(context: ApplyContext): Promise<void> {
  const { host } = context;
  const { existing, absentFiles } = accountsBefore(context, ACCOUNTS);
  await keepingBackups(context, async () => {
    for (const name of USERS) {
      if (existing.includes(name) || !(await accountNames(host)).users.has(name)) continue;
      await runChecked(host, ["userdel", name], { hint: `ps -u ${name} shows what still runs as this user` });
    }
    for (const name of [...USERS, ...GROUPS]) {
      if (existing.includes(name) || !(await accountNames(host)).groups.has(name)) continue;
      await runChecked(host, ["groupdel", name]);
    }
  });
  if (absentFiles.includes(LOCK_FILE)) await host.files.remove(LOCK_FILE);
  await context.forget(ACCOUNTS);
}

function accountsBefore(context: ApplyContext, target: string): AccountsBefore {
  const entry = manifestEntry(context.manifest(), USER_KIND, target);
  return accountsBeforeSchema.parse(entry?.before ?? { existing: [], absentFiles: [] });
}

async function absentByProducts(host: Host): Promise<string[]> {
  const absent: string[] = [];
  for (const path of [...BACKUPS, LOCK_FILE]) if ((await host.files.stat(path)).state === "absent") absent.push(path);
  return absent;
}

/**
 * Does the work with the backups of the user database out of the way, so that they hold afterwards what they held before
 * instead of jiji's own changes; what was not there before is removed. Their content is not read: it holds the hashes of
 * passwords. After a crash the next call finds them where this one put them.
 */
async function keepingBackups(context: ApplyContext, work: () => Promise<void>): Promise<void> {
  const { files } = context.host;
  await context.remember(ACCOUNTS_IN_CHANGE, { existing: [], absentFiles: await absentByProducts(context.host) });
  const { absentFiles } = accountsBefore(context, ACCOUNTS_IN_CHANGE);
  for (const path of BACKUPS) {
    if (absentFiles.includes(path)) continue;
    const isAside = (await files.stat(aside(path))).state === "found";
    if (!isAside && (await files.stat(path)).state === "found") await files.move(path, aside(path));
  }
  await work();
  for (const path of BACKUPS) {
    if (absentFiles.includes(path)) await files.remove(path);
    else if ((await files.stat(aside(path))).state === "found") await files.move(aside(path), path);
  }
  await context.forget(ACCOUNTS_IN_CHANGE);
}
