import { known } from "../../model/reading.ts";
import {
  NEEDED_PROGRAMS,
  PACKAGE_KIND,
  planPackage,
  POLICY,
  type PackageObserved,
  type PackageAction,
  type PackageManager,
} from "../../plan/kinds/package.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { isInstalled, runChecked } from "../programs.ts";

/** Programs that the distribution brings; removed at teardown exactly when setup installed them. */
export const packageKind: ResourceKind<PackageObserved, PackageAction> = {
  kind: PACKAGE_KIND,
  observe,
  plan: planPackage,
  execute,
};

const INSTALL_TIMEOUT_MS = 600_000;

const MANAGERS: readonly (readonly [PackageManager, string])[] = [
  ["apt", "/usr/bin/apt-get"],
  ["dnf", "/usr/bin/dnf"],
  ["zypper", "/usr/bin/zypper"],
];

async function observe(host: Host): Promise<PackageObserved> {
  const missing: string[] = [];
  for (const needed of NEEDED_PROGRAMS) if (!(await isInstalled(host, needed.program))) missing.push(needed.package);
  return { missing, manager: await packageManager(host) };
}

/** The first package manager that is there; undefined when there is none that jiji knows. */
export async function packageManager(host: Host): Promise<PackageManager | undefined> {
  for (const [manager, path] of MANAGERS) if ((await host.files.stat(path)).state === "found") return manager;
  return undefined;
}

async function execute({ action }: Step<PackageAction>, context: ApplyContext): Promise<void> {
  if (action.op === "remove-policy") {
    await context.host.files.remove(POLICY);
    await context.forget(POLICY);
  } else if (action.op === "remove") {
    await remove(action.manager, action.packages, context);
  } else if (action.manager === "apt") {
    await installWithApt(action.packages, context);
  } else {
    await installWithRpm(action.manager, action.packages, context);
  }
}

async function installWithApt(packages: readonly string[], context: ApplyContext): Promise<void> {
  const { host } = context;
  // all new packages are remembered before anything changes, so that teardown after a crash knows them too
  let added = await simulateApt(host, packages);
  if (added === undefined) {
    context.progress("apt-get update");
    await runChecked(host, apt("update"), { timeoutMs: INSTALL_TIMEOUT_MS });
    added = await simulateApt(host, packages);
  }
  if (added === undefined) await runChecked(host, apt("install", "--simulate", ...packages));
  for (const name of added ?? []) await context.remember(name, { manager: "apt" });
  const hasPolicy = known(await host.files.stat(POLICY), POLICY) !== undefined;
  if (!hasPolicy) {
    await context.remember(POLICY, null);
    await host.files.write(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  }
  try {
    await runChecked(host, apt("install", "--no-remove", ...packages), {
      timeoutMs: INSTALL_TIMEOUT_MS,
      hint: `install ${packages.join(" and ")} by hand, then run the command again`,
    });
  } finally {
    if (!hasPolicy) {
      await host.files.remove(POLICY);
      await context.forget(POLICY);
    }
  }
}

function apt(...args: readonly string[]): readonly [string, ...string[]] {
  return [
    ...(["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "apt-get", "-q", "-y"] as const),
    ...["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold", "--no-install-recommends"],
    ...args,
  ];
}

/** The packages that would be new, as `Inst NAME (VERSION …)`; undefined when apt does not know how. */
async function simulateApt(host: Host, packages: readonly string[]): Promise<readonly string[] | undefined> {
  const result = await host.programs.run(apt("install", "--simulate", ...packages));
  if (result.code !== 0) return undefined;
  return [...result.stdout.matchAll(/^Inst ([a-z0-9][a-z0-9.+-]*)(?::[a-z0-9]+)? \(/gm)].map(([, name]) => name ?? "");
}

async function installWithRpm(
  manager: "dnf" | "zypper",
  packages: readonly string[],
  context: ApplyContext,
): Promise<void> {
  const { host } = context;
  const before = await rpmNames(host);
  for (const name of packages) await context.remember(name, { manager });
  const argv: readonly [string, ...string[]] =
    manager === "dnf"
      ? ["dnf", "-q", "-y", "--setopt=install_weak_deps=False", "install", ...packages]
      : ["zypper", "--non-interactive", "--quiet", "install", "--no-recommends", ...packages];
  await runChecked(host, argv, {
    timeoutMs: INSTALL_TIMEOUT_MS,
    hint: `install ${packages.join(" and ")} by hand, then run the command again`,
  });
  for (const name of await rpmNames(host)) if (!before.has(name)) await context.remember(name, { manager });
}

async function rpmNames(host: Host): Promise<ReadonlySet<string>> {
  const { stdout } = await runChecked(host, ["rpm", "-qa", "--qf", "%{NAME}\\n"]);
  return new Set(stdout.split("\n").filter((name) => name !== ""));
}

/** Removes with the low-level tool, which refuses to remove a package that others need by now: it stays, and a line says so. */
async function remove(manager: PackageManager, packages: readonly string[], context: ApplyContext): Promise<void> {
  const { host } = context;
  const present = await installedOf(host, manager, packages);
  if (present.length > 0) {
    const argv: readonly [string, ...string[]] =
      manager === "apt"
        ? ["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--purge", ...present]
        : ["rpm", "--erase", ...present];
    await host.programs.run(argv, { timeoutMs: INSTALL_TIMEOUT_MS });
    const left = await installedOf(host, manager, present);
    if (left.length > 0) context.progress(`${left.join(", ")} stays, since other packages need it by now`);
  }
  for (const name of packages) await context.forget(name);
}

/** Those that are installed, or removed but for their configuration. */
async function installedOf(host: Host, manager: PackageManager, names: readonly string[]): Promise<readonly string[]> {
  const present: string[] = [];
  for (const name of names) {
    const argv: readonly [string, ...string[]] =
      manager === "apt" ? ["dpkg-query", "-W", "-f", "${db:Status-Status}", name] : ["rpm", "-q", name];
    const { code, stdout } = await host.programs.run(argv);
    if (code === 0 && stdout.trim() !== "not-installed") present.push(name);
  }
  return present;
}
