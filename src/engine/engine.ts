import type { Ipv4 } from "../model/address.ts";
import type { Cidr } from "../model/cluster.ts";
import type { EngineKind } from "../model/node-spec.ts";
import type { Reading } from "../model/reading.ts";

/** What the engine says a container is doing. `unknown` is a word that this release does not know. */
export type EngineState =
  | "created"
  | "running"
  | "paused"
  | "restarting"
  | "stopping"
  | "exited"
  | "removing"
  | "dead"
  | "unknown";

/** The engine's HEALTHCHECK; `none` when the container has no such check. */
export type EngineHealth = "none" | "starting" | "healthy" | "unhealthy";

export interface ExposedPort {
  readonly port: number;
  readonly protocol: "tcp" | "udp" | "sctp";
}

/** One container as the engine describes it. Texts in it come from images and people and are hostile until parsed. */
export interface EngineContainer {
  /** 64 lower-case hex digits */
  readonly id: string;
  /** without the leading slash */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly imageId: string;
  /** what the image was called when the container was made, e.g. `nginx:1.27` */
  readonly imageName: string;
  /** labels that stand in the image itself; absent when the engine no longer has the image */
  readonly imageLabels: Reading<Readonly<Record<string, string>>>;
  /** network name → address; null while the container has none there */
  readonly networks: Readonly<Record<string, Ipv4 | null>>;
  readonly state: EngineState;
  readonly health: EngineHealth;
  /** when it was started last, in the engine's words; another text means another start */
  readonly startedAt: string;
  /** sorted, without doubles */
  readonly ports: readonly ExposedPort[];
  /** what the container is told to stop with, e.g. `SIGTERM` or `15`; empty: the engine's default, SIGTERM */
  readonly stopSignal: string;
}

/** What an engine's event stream says. An event is a hint to look again, never a fact to be stored. */
export type EngineEvent =
  /** first: from here on nothing is missed, so a full list may be compared now */
  | { readonly type: "listening" }
  | {
      readonly type: "container";
      readonly id: string;
      /** the engine's own word: start, die, destroy, health_status: healthy, … */
      readonly action: string;
      /** of a `kill` event: the number or name of the signal */
      readonly signal?: string;
    }
  /** a network was made, removed or changed */
  | { readonly type: "network"; readonly action: string };

/** One of the engine's own bridge networks. */
export interface EngineNetwork {
  readonly name: string;
  readonly cidr: Cidr;
}

/**
 * A container engine, read only. Every read is three-valued: an engine that does not answer is `unknown`, which is never
 * the same as having no containers.
 */
export interface Engine {
  readonly kind: EngineKind;
  version(): Promise<Reading<string>>;
  /** Every container of that network in whatever state, running or not. Never `absent`. */
  containers(network: string): Promise<Reading<readonly EngineContainer[]>>;
  /** One container by its full id, or what the engine itself takes for one (name, beginning); `absent` when there is none. */
  container(id: string): Promise<Reading<EngineContainer>>;
  /**
   * Events from now on. Iterating throws an {@link EngineError} when the engine goes away, and ends when `signal` is
   * aborted. An idle stream stays open for ever.
   */
  events(signal: AbortSignal): AsyncIterable<EngineEvent>;
  /** IPv4 networks whose containers live behind this server's own bridges. Never `absent`. */
  networks(): Promise<Reading<readonly EngineNetwork[]>>;
  /** Names of running containers that are on the server's own network, sorted: nothing tells them from the server. */
  onHostNetwork(): Promise<Reading<readonly string[]>>;
}

/** The engine could not be asked, refused, or broke off. */
export class EngineError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "EngineError";
  }
}
