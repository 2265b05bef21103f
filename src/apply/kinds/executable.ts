import { dirname } from "node:path";
import { JijiError, messageOf } from "../../model/errors.ts";
import { PATHS, stagedFile } from "../../model/paths.ts";
import { ABSENT, found, unknown, type Reading } from "../../model/reading.ts";
import {
  desiredExecutables,
  EXECUTABLE_KIND,
  planExecutable,
  type ExecutableAction,
  type ExecutableObserved,
} from "../../plan/kinds/executable.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import type { Step } from "../../plan/step.ts";
import type { FileStat, Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";

/** The programs that setup uploads. They wait under their hash and are put in place by rename, so that a running one goes on. */
export const executableKind: ResourceKind<ExecutableObserved, ExecutableAction> = {
  kind: EXECUTABLE_KIND,
  observe,
  plan: planExecutable,
  execute,
};

async function observe(host: Host, goal: NodeGoal): Promise<ExecutableObserved> {
  const hashes = new Map<string, Reading<string>>();
  const stats = new Map<string, Reading<FileStat>>();
  let installedVersion: Reading<string> = ABSENT;
  for (const { path, sha256 } of desiredExecutables(goal)) {
    const hash = await host.files.hash(path);
    hashes.set(path, hash);
    stats.set(path, await host.files.stat(path));
    if (path === PATHS.executable && hash.state === "found" && hash.value !== sha256) {
      installedVersion = await versionOf(host, path);
    }
  }
  stats.set(PATHS.dnsExecutable, await host.files.stat(PATHS.dnsExecutable));
  return { hashes, stats, installedVersion };
}

/** What the installed program calls itself. One that does not run any more is unknown, and may be replaced. */
async function versionOf(host: Host, path: string): Promise<Reading<string>> {
  try {
    const { code, stdout } = await host.programs.run([path, "--version"], { timeoutMs: 10_000 });
    const version = /(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1];
    return code === 0 && version !== undefined ? found(version) : unknown(`${path} --version: exit ${code}`);
  } catch (error) {
    return unknown(`${path} --version: ${messageOf(error)}`);
  }
}

async function execute({ action }: Step<ExecutableAction>, context: ApplyContext): Promise<void> {
  const { files } = context.host;
  const { path } = action;
  if (action.op === "remove") {
    await files.remove(path);
    await context.forget(path);
    return;
  }
  await context.remember(path, null);
  if (action.op === "link") {
    await files.link(path, action.to);
    return;
  }
  const staged = stagedFile(action.sha256);
  const hash = await files.hash(staged);
  if (hash.state === "absent" && (await isInstalled(context, action))) {
    await files.setOwner(path, { mode: 0o755 });
    return;
  }
  if (hash.state !== "found" || hash.value !== action.sha256) {
    const why = hash.state === "found" ? "has other content than its name says" : "is not there";
    throw new JijiError("conflict", `the upload for ${path} ${why}`, { hint: "run jiji network setup; it uploads it" });
  }
  await files.setOwner(staged, { mode: 0o755 });
  await files.move(staged, path);
  await files.remove(dirname(staged));
}

async function isInstalled({ host }: ApplyContext, action: { path: string; sha256: string }): Promise<boolean> {
  const hash = await host.files.hash(action.path);
  return hash.state === "found" && hash.value === action.sha256;
}
