import { CompatibleEngine } from "./compatible-engine.ts";
import type { Engine } from "./engine.ts";
import { ENGINE_SOCKETS } from "../model/engine-sockets.ts";

/** Docker Engine, 20.10 and later. Nothing is asked before the first read. */
export function openDocker(socketPath: string = ENGINE_SOCKETS.docker): Engine {
  return new CompatibleEngine("docker", socketPath);
}
