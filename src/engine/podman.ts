import { CompatibleEngine } from "./compatible-engine.ts";
import type { Engine } from "./engine.ts";
import { ENGINE_SOCKETS } from "../model/engine-sockets.ts";

/**
 * Podman, 4.3 and later, by its Docker-compatible API: it has everything that is read here, states and health included.
 * The service behind the socket ends itself when nobody is connected; systemd starts it again, so a lost stream is no
 * sign that a container stopped.
 */
export function openPodman(socketPath: string = ENGINE_SOCKETS.podman): Engine {
  return new CompatibleEngine("podman", socketPath);
}
