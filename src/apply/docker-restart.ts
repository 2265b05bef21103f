import { z } from "zod";
import { JijiError } from "../model/errors.ts";
import { PATHS } from "../model/paths.ts";
import { UNITS } from "../model/units.ts";
import { ABSENT, found, known, unknown, type Reading } from "../model/reading.ts";
import { DOCKER_UNIT, INTERRUPTED_RESTART, type DockerDaemon } from "../plan/kinds/engine-dns.ts";
import { withLiveRestore } from "../render/daemon-json.ts";
import type { Host } from "../system/host.ts";
import type { ApplyContext } from "./kind.ts";
import { restoreBefore, stateBefore } from "./managed-file.ts";
import { look, runChecked } from "./programs.ts";

const RESTART_TIMEOUT_MS = 180_000;
const RELOAD_TIMEOUT_MS = 15_000;

const infoSchema = z.object({
  ContainersRunning: z.int(),
  LiveRestoreEnabled: z.boolean(),
  Swarm: z.object({ LocalNodeState: z.string().default("inactive") }).default({ LocalNodeState: "inactive" }),
});

/** The running daemon; absent when its unit is not active, or not there. */
export async function observeDaemon(host: Host): Promise<Reading<DockerDaemon>> {
  const output = await look(host, ["systemctl", "show", "-p", "ActiveState,InvocationID", DOCKER_UNIT]);
  if (output.state !== "found") return output;
  if (!/^ActiveState=active$/m.test(output.value)) return ABSENT;
  const invocation = /^InvocationID=([0-9a-f]{32})$/m.exec(output.value)?.[1];
  if (invocation === undefined) return unknown(`systemctl show ${DOCKER_UNIT} gives no InvocationID`);
  const info = await look(host, ["docker", "info", "--format", "{{json .}}"]);
  if (info.state !== "found") return info;
  try {
    const parsed = infoSchema.parse(JSON.parse(info.value));
    return found({
      invocation,
      runningContainers: parsed.ContainersRunning,
      hasLiveRestore: parsed.LiveRestoreEnabled,
      isSwarm: parsed.Swarm.LocalNodeState !== "inactive",
    });
  } catch {
    return unknown("docker info printed something else than expected");
  }
}

/**
 * Restarts Docker and waits until it answers. Containers keep running: Docker takes up live-restore without a restart, so it
 * is switched on for the time of this one where it is off. A swarm forbids that.
 */
export async function restartDocker(context: ApplyContext): Promise<void> {
  const { host } = context;
  context.progress("restarting Docker");
  const daemon = await observeDaemon(host);
  if (daemon.state === "unknown") {
    throw new JijiError("remote", `Docker does not say what runs in it, so it is not restarted: ${daemon.why}`, {
      hint: `docker info; journalctl -u ${DOCKER_UNIT} -n 50`,
    });
  }
  const keepsContainers =
    daemon.state === "found" &&
    daemon.value.runningContainers > 0 &&
    !daemon.value.hasLiveRestore &&
    !daemon.value.isSwarm;
  if (!keepsContainers) return restartUnit(context);
  await context.remember(INTERRUPTED_RESTART, await stateBefore(host.files, PATHS.dockerDaemon));
  await setLiveRestore(host, true);
  try {
    await restartUnit(context);
  } finally {
    await finishRestart(context);
  }
}

/** Puts daemon.json back as it was before live-restore was switched on for a restart; also after a crash in the middle. */
export async function finishRestart(context: ApplyContext): Promise<void> {
  const { host } = context;
  const before = context.before(INTERRUPTED_RESTART);
  if (before === undefined) return;
  // a running daemon keeps a setting whose key is only removed
  await setLiveRestore(host, false);
  await restoreBefore(host.files, PATHS.dockerDaemon, before);
  await context.forget(INTERRUPTED_RESTART);
}

async function setLiveRestore(host: Host, isOn: boolean): Promise<void> {
  const text = await host.files.read(PATHS.dockerDaemon);
  const content = withLiveRestore(known(text, PATHS.dockerDaemon) ?? null, isOn);
  if (content === undefined)
    throw new JijiError("conflict", `${PATHS.dockerDaemon} cannot be read`, { hint: "correct it" });
  await host.files.write(PATHS.dockerDaemon, content, { mode: 0o644 });
  const daemon = await observeDaemon(host);
  if (daemon.state === "absent") return;
  await runChecked(host, ["systemctl", "reload", DOCKER_UNIT]);
  const end = host.clock.monotonicMs() + RELOAD_TIMEOUT_MS;
  for (;;) {
    const now = await observeDaemon(host);
    if (now.state === "found" && now.value.hasLiveRestore === isOn) return;
    if (host.clock.monotonicMs() > end) {
      throw new JijiError("remote", `Docker does not take up "live-restore": ${isOn}`, {
        hint: `journalctl -u ${DOCKER_UNIT} -n 50`,
      });
    }
    await host.clock.sleep(100);
  }
}

/**
 * Has jiji-agent stop listening to the engine's events: an engine that stops waits 5 s for its listeners. Without an agent, or
 * with one that cannot be told, only those 5 s are lost.
 */
export async function releaseEngine(host: Host): Promise<void> {
  await host.programs.run(["systemctl", "kill", "--kill-who=main", "--signal=HUP", UNITS.agent]).catch(() => undefined);
}

async function restartUnit({ host }: ApplyContext): Promise<void> {
  const hint = `journalctl -u ${DOCKER_UNIT} -n 50`;
  await releaseEngine(host);
  // The unit may be started three times a minute and then stays down; this resets the count.
  await runChecked(host, ["systemctl", "reset-failed", DOCKER_UNIT], { hint });
  await runChecked(host, ["systemctl", "restart", DOCKER_UNIT], { timeoutMs: RESTART_TIMEOUT_MS, hint });
  await runChecked(host, ["docker", "info", "--format", "{{.ServerVersion}}"], { timeoutMs: RESTART_TIMEOUT_MS, hint });
}
