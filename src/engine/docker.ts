import { CompatibleEngine } from "./compatible-engine.ts";
import type { Engine } from "./engine.ts";

/** Where dockerd listens. */
export const DOCKER_SOCKET = "/var/run/docker.sock";

/** Docker Engine, 20.10 and later. Nothing is asked before the first read. */
export function openDocker(socketPath: string = DOCKER_SOCKET): Engine {
  return new CompatibleEngine("docker", socketPath);
}
