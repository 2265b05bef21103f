import type { EngineKind } from "./node-spec.ts";

/** Where each engine listens when it runs as root. */
export const ENGINE_SOCKETS: Readonly<Record<EngineKind, string>> = {
  docker: "/var/run/docker.sock",
  podman: "/run/podman/podman.sock",
};
