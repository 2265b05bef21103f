import { join } from "node:path";
import { serverAddress } from "../../model/cluster.ts";
import { JijiError } from "../../model/errors.ts";
import type { EngineKind } from "../../model/node-spec.ts";
import { PATHS } from "../../model/paths.ts";
import { ABSENT, found, type Reading } from "../../model/reading.ts";
import {
  DNS_FILES,
  DOCKER_UNIT,
  ENGINE_DNS_KIND,
  engineDnsFile,
  engineDnsNotes,
  planEngineDns,
  withdrawn,
  type EngineDnsAction,
  type EngineDnsObserved,
} from "../../plan/kinds/engine-dns.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import { manifestEntry, type Manifest } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import { finishRestart, observeDaemon, releaseEngine, restartDocker } from "../docker-restart.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, seeFile, stateBefore, writeManaged } from "../managed-file.ts";
import { runChecked } from "../run-checked.ts";

/**
 * Under /run, so that it is gone after a boot, when Docker has just read its file; it names a start of the daemon, so
 * that a restart by anybody else settles it too.
 */
const STALE_MARKER = join(PATHS.pendingRestarts, DOCKER_UNIT);

const RESTART_TIMEOUT_MS = 180_000;

/** DNS settings of the engine, which decide what stands in the containers' resolv.conf. */
export const engineDnsKind: ResourceKind<EngineDnsObserved, EngineDnsAction> = {
  kind: ENGINE_DNS_KIND,
  observe,
  plan: planEngineDns,
  execute,
  notes: engineDnsNotes,
};

async function observe(host: Host, goal: NodeGoal, manifest: Manifest): Promise<EngineDnsObserved> {
  const hasDocker =
    (goal.phase === "join" && goal.spec.engine === "docker") ||
    manifestEntry(manifest, ENGINE_DNS_KIND, PATHS.dockerDaemon) !== undefined;
  const stale = await host.files.read(STALE_MARKER);
  const isStale = stale.state === "found" && stale.value !== "";
  return {
    files: {
      docker: await seeFile(host.files, DNS_FILES.docker.path),
      podman: await seeFile(host.files, DNS_FILES.podman.path),
    },
    hostSearches: await observeHostSearches(host),
    daemon: hasDocker || isStale ? await observeDaemon(host) : ABSENT,
    staleInvocation: isStale ? found(stale.value.trim()) : stale.state === "unknown" ? stale : ABSENT,
  };
}

/** The last `search` or `domain` line of resolv.conf(5) counts. Only what can be a domain name is taken over. */
async function observeHostSearches(host: Host): Promise<Reading<readonly string[]>> {
  const text = await host.files.read("/etc/resolv.conf");
  if (text.state !== "found") return text;
  const line = text.value.split("\n").findLast((each) => /^(?:search|domain)\s/.test(each)) ?? "";
  const domains = line.trim().split(/\s+/).slice(1);
  return found(domains.filter((domain) => /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?$/.test(domain)));
}

async function execute({ action }: Step<EngineDnsAction>, context: ApplyContext): Promise<void> {
  switch (action.op) {
    case "write":
      return write(context);
    case "restore":
      return restore(context, action.path);
    case "withdraw":
      return withdraw(context, action.path);
    case "restart-docker":
      return restart(context);
    case "finish-restart":
      return finishRestart(context);
  }
}

async function write(context: ApplyContext): Promise<void> {
  const { host, goal } = context;
  if (goal.phase !== "join") return;
  const { cluster, subnet, engine } = goal.spec;
  const file = engineDnsFile(goal, await observe(host, goal, context.manifest()));
  const before = await stateBefore(host.files, file.path);
  await context.remember(file.path, { ...before, address: serverAddress(cluster.cidr, subnet) });
  await changing(host, engine, () => writeManaged(context, file));
}

/** Around a change of an engine's file: Docker's running daemon has not read it, Podman's service is told. */
async function changing(host: Host, engine: EngineKind, change: () => Promise<void>): Promise<void> {
  if (engine === "docker") {
    const daemon = await observeDaemon(host);
    if (daemon.state === "found") await host.files.write(STALE_MARKER, daemon.value.invocation, { mode: 0o600 });
    await change();
    return;
  }
  await change();
  await releaseEngine(host);
  await runChecked(host, ["systemctl", "try-restart", "podman.service"]);
}

async function restore(context: ApplyContext, path: string): Promise<void> {
  const entry = manifestEntry(context.manifest(), ENGINE_DNS_KIND, path);
  if (entry !== undefined) {
    await changing(context.host, engineOf(path), () => restoreManaged(context.host, path, entry.before));
  }
  await context.forget(path);
}

async function withdraw(context: ApplyContext, path: string): Promise<void> {
  const { host } = context;
  const entry = manifestEntry(context.manifest(), ENGINE_DNS_KIND, path);
  const seen = await seeFile(host.files, path);
  if (entry !== undefined && seen.content.state === "found" && seen.stat.state === "found") {
    const content = withdrawn(engineOf(path), entry, seen.content.value);
    if (content === undefined) {
      throw new JijiError("conflict", `${path} has a form that jiji cannot edit`, {
        hint: `remove jiji's resolver and the search domain "jiji" from it by hand, then run the command again`,
      });
    }
    const owner = seen.stat.value;
    await changing(host, engineOf(path), () => host.files.write(path, content, owner));
  }
  await context.forget(path);
}

function engineOf(path: string): EngineKind {
  return path === DNS_FILES.docker.path ? "docker" : "podman";
}

/**
 * If Docker does not come up, its file from before is put back, and it is started with that: a server without its engine
 * would be worse than one without names.
 */
async function restart(context: ApplyContext): Promise<void> {
  const { host } = context;
  try {
    await restartDocker(context);
  } catch (error) {
    const entry = manifestEntry(context.manifest(), ENGINE_DNS_KIND, PATHS.dockerDaemon);
    if (entry !== undefined) {
      await restoreManaged(host, PATHS.dockerDaemon, entry.before);
      // One that runs was not stopped, or is up again, whether it answers or not: what runs in it would end.
      if ((await observeDaemon(host)).state === "absent") {
        await host.programs.run(["systemctl", "reset-failed", DOCKER_UNIT]);
        await host.programs.run(["systemctl", "restart", DOCKER_UNIT], { timeoutMs: RESTART_TIMEOUT_MS });
      }
    }
    throw new JijiError("remote", `Docker did not restart with jiji's ${PATHS.dockerDaemon}; the file was put back`, {
      hint: `journalctl -u ${DOCKER_UNIT} -n 50`,
      cause: error,
    });
  }
  await host.files.remove(STALE_MARKER);
}
