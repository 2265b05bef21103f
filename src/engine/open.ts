import type { EngineKind } from "../model/node-spec.ts";
import { openDocker } from "./docker.ts";
import type { Engine } from "./engine.ts";
import { openPodman } from "./podman.ts";

/** The engine of that kind on its usual socket, or on the one that is given. */
export function openEngine(kind: EngineKind, socketPath?: string): Engine {
  return kind === "docker" ? openDocker(socketPath) : openPodman(socketPath);
}
