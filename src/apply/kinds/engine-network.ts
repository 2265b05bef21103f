import type { EngineKind } from "../../model/node-spec.ts";
import { ABSENT, known, type Reading } from "../../model/reading.ts";
import {
  ENGINE_NETWORK_KIND,
  engineNetworkNotes,
  networkTarget,
  planEngineNetwork,
  PODMAN_SOCKET,
  type EngineNetworkAction,
  type EngineNetworkObserved,
  type ObservedNetwork,
} from "../../plan/kinds/engine-network.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import { manifestEntry, type Manifest } from "../../plan/manifest.ts";
import { unitStateSchema } from "../../plan/kinds/unit.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import {
  createDockerNetwork,
  observeDockerNetwork,
  observeDockerTrust,
  removeDockerNetwork,
} from "../docker-network.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import {
  createPodmanNetwork,
  observePodmanNetwork,
  PODMAN_NETWORK_FOLDER,
  removePodmanNetwork,
} from "../podman-network.ts";
import { runChecked } from "../programs.ts";
import { observeUnit } from "../units.ts";

/** The containers' network in Docker or Podman, and Podman's API socket. */
export const engineNetworkKind: ResourceKind<EngineNetworkObserved, EngineNetworkAction> = {
  kind: ENGINE_NETWORK_KIND,
  observe,
  plan: planEngineNetwork,
  execute,
  notes: engineNetworkNotes,
};

async function observe(host: Host, goal: NodeGoal, manifest: Manifest): Promise<EngineNetworkObserved> {
  const isConcerned = (engine: EngineKind): boolean =>
    (goal.phase === "join" && goal.spec.engine === engine) ||
    manifestEntry(manifest, ENGINE_NETWORK_KIND, networkTarget(engine)) !== undefined;
  const ask = async (
    engine: EngineKind,
    look: (host: Host) => Promise<Reading<ObservedNetwork>>,
  ): Promise<Reading<ObservedNetwork>> => (isConcerned(engine) ? look(host) : ABSENT);
  return {
    networks: { docker: await ask("docker", observeDockerNetwork), podman: await ask("podman", observePodmanNetwork) },
    dockerKnowsTrust: isConcerned("docker") ? await observeDockerTrust(host) : ABSENT,
    podmanSocket: isConcerned("podman") ? await observeUnit(host, PODMAN_SOCKET) : ABSENT,
  };
}

async function execute({ action }: Step<EngineNetworkAction>, context: ApplyContext): Promise<void> {
  const { host } = context;
  switch (action.op) {
    case "create": {
      const { network } = action;
      const folder = known(await host.files.stat(PODMAN_NETWORK_FOLDER), PODMAN_NETWORK_FOLDER);
      const before = network.engine === "podman" && folder === undefined ? { madeFolder: true } : null;
      await context.remember(networkTarget(network.engine), before);
      return network.engine === "docker" ? createDockerNetwork(host, network) : createPodmanNetwork(host, network);
    }
    case "remove":
      return remove(context, action.engine);
    case "enable-socket":
      await context.remember(PODMAN_SOCKET, action.before);
      await runChecked(host, ["systemctl", "enable", "--now", PODMAN_SOCKET]);
      return;
    case "restore-socket":
      return restoreSocket(context);
  }
}

/** Podman makes the folder of networks for the first one and leaves it behind. */
async function remove(context: ApplyContext, engine: EngineKind): Promise<void> {
  const { host } = context;
  await (engine === "docker" ? removeDockerNetwork(host) : removePodmanNetwork(host));
  if (engine === "podman" && context.before(networkTarget(engine)) !== null) {
    const left = await host.files.list(PODMAN_NETWORK_FOLDER);
    if (left.state === "found" && left.value.length === 0) await host.files.remove(PODMAN_NETWORK_FOLDER);
  }
  await context.forget(networkTarget(engine));
}

async function restoreSocket(context: ApplyContext): Promise<void> {
  const { host } = context;
  const before = unitStateSchema.nullish().parse(context.before(PODMAN_SOCKET));
  if (known(await observeUnit(host, PODMAN_SOCKET), PODMAN_SOCKET) !== undefined) {
    if (before?.enabled !== true) await runChecked(host, ["systemctl", "disable", PODMAN_SOCKET]);
    if (before?.active !== true) await runChecked(host, ["systemctl", "stop", PODMAN_SOCKET, "podman.service"]);
  }
  await context.forget(PODMAN_SOCKET);
}
