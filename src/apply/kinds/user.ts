import { PATHS } from "../../model/paths.ts";
import type { Step } from "../../plan/step.ts";
import {
  ACCOUNTS,
  ACCOUNTS_IN_CHANGE,
  accountsBeforeSchema,
  GROUPS,
  planUser,
  USER_KIND,
  USERS,
  type AccountsBefore,
  type UserObserved,
  type UserAction,
} from "../../plan/kinds/user.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import type { Host } from "../../system/host.ts";
import { known } from "../../model/reading.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { seeFile } from "../managed-file.ts";
import { runChecked } from "../programs.ts";

/** The system users of the services. After teardown the user database is byte for byte as it was. */
export const userKind: ResourceKind<UserObserved, UserAction> = {
  kind: USER_KIND,
  observe,
  plan: planUser,
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

async function observe(host: Host, goal: NodeGoal): Promise<UserObserved> {
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

function execute({ action }: Step<UserAction>, context: ApplyContext): Promise<void> {
  return action.op === "create" ? create(context) : remove(context);
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
  return accountsBeforeSchema.parse(context.before(target) ?? { existing: [], absentFiles: [] });
}

async function isThere({ files }: Host, path: string): Promise<boolean> {
  return known(await files.stat(path), path) !== undefined;
}

async function absentByProducts(host: Host): Promise<string[]> {
  const absent: string[] = [];
  for (const path of [...BACKUPS, LOCK_FILE]) if (!(await isThere(host, path))) absent.push(path);
  return absent;
}

/**
 * Moves the backups of the user database aside, does the work, and moves them back: the programs would fill them with jiji's own
 * changes. Backups that were not there before are removed. Their content is never read, since it holds the hashes of
 * passwords. After a crash the next call finds them where this one put them.
 */
async function keepingBackups(context: ApplyContext, work: () => Promise<void>): Promise<void> {
  const { host } = context;
  await context.remember(ACCOUNTS_IN_CHANGE, { existing: [], absentFiles: await absentByProducts(host) });
  const { absentFiles } = accountsBefore(context, ACCOUNTS_IN_CHANGE);
  for (const path of BACKUPS) {
    if (absentFiles.includes(path)) continue;
    const isAside = await isThere(host, aside(path));
    if (!isAside && (await isThere(host, path))) await host.files.move(path, aside(path));
  }
  await work();
  for (const path of BACKUPS) {
    if (absentFiles.includes(path)) await host.files.remove(path);
    else if (await isThere(host, aside(path))) await host.files.move(aside(path), path);
  }
  await context.forget(ACCOUNTS_IN_CHANGE);
}
