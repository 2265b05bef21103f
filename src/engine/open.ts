import { ENGINE_SOCKETS, type EngineKind } from "../model/node-spec.ts";
import { CompatibleEngine } from "./compatible-engine.ts";
import type { Engine } from "./engine.ts";

/**
 * The engine of that kind on its usual socket, or on the one that is given: Docker from 20.10 on, or Podman from 4.3 on by its
 * Docker-compatible API. Nothing is asked before the first read. Podman's service ends itself when nobody is connected and
 * systemd starts it again, so a lost stream is no sign that a container stopped.
 */
export function openEngine(kind: EngineKind, socketPath: string = ENGINE_SOCKETS[kind]): Engine {
  return new CompatibleEngine(kind, socketPath);
}
