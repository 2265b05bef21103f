import { join } from "node:path";
import { serverAddress } from "../../model/cluster.ts";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { ABSENT, found, known, type Reading } from "../../model/reading.ts";
import {
  DNS_FILES,
  DOCKER_UNIT,
  ENGINE_DNS_KIND,
  engineDnsNotes,
  planEngineDns,
  type EngineDnsAction,
  type EngineDnsObserved,
} from "../../plan/kinds/engine-dns.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import { manifestEntry, type Manifest } from "../../plan/manifest.ts";
import type { ManagedFileAction } from "../../plan/managed-file.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import { finishRestart, observeDaemon, releaseEngine, restartDocker } from "../docker-restart.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { rememberFile, restoreBefore, seeFile } from "../managed-file.ts";
import { runChecked } from "../programs.ts";

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
  aroundFile,
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
  const { host } = context;
  switch (action.op) {
    case "withdraw": {
      const { path, content, owner } = action;
      await changing(host, path, () => host.files.write(path, content.reveal(), owner));
      return context.forget(path);
    }
    case "restart-docker":
      return restart(context);
    case "finish-restart":
      return finishRestart(context);
  }
}

/** The manifest keeps the address that is put in, so that teardown can tell it from other resolvers. */
async function aroundFile(
  { op, path }: ManagedFileAction,
  change: () => Promise<void>,
  context: ApplyContext,
): Promise<void> {
  const { host, goal } = context;
  if (op === "write-file" && goal.phase === "join") {
    const { cluster, subnet } = goal.spec;
    await rememberFile(context, path, { address: serverAddress(cluster.cidr, subnet) });
  }
  await changing(host, path, change);
}

/** Changes an engine's file: notes that Docker's running daemon has not read it, or tells Podman's service. */
async function changing(host: Host, path: string, change: () => Promise<void>): Promise<void> {
  if (path === PATHS.dockerDaemon) {
    const daemon = known(await observeDaemon(host), DOCKER_UNIT);
    if (daemon !== undefined) await host.files.write(STALE_MARKER, daemon.invocation, { mode: 0o600 });
    return change();
  }
  await change();
  await releaseEngine(host);
  await runChecked(host, ["systemctl", "try-restart", "podman.service"]);
}

/**
 * If Docker does not come up, puts its file from before back and starts it with that: a server without its engine is worse
 * than one without names.
 */
async function restart(context: ApplyContext): Promise<void> {
  const { host } = context;
  try {
    await restartDocker(context);
  } catch (error) {
    const before = context.before(PATHS.dockerDaemon);
    if (before !== undefined) {
      await restoreBefore(host.files, PATHS.dockerDaemon, before);
      // A Docker that runs is left alone, whether it answers or not: a restart now would end its containers.
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
