import type { EngineKind } from "../model/node-spec.ts";
import { found, unknown, type Reading } from "../model/reading.ts";
import {
  imageSchema,
  listedContainerSchema,
  networkModeSchema,
  parseEvent,
  parseInspect,
  parseNetworks,
  versionSchema,
} from "./docker-api.ts";
import { EngineError, type Engine, type EngineContainer, type EngineEvent, type EngineNetwork } from "./engine.ts";
import { UnixHttp } from "./unix-http.ts";

/** Inspections under way at once while a full list is made. */
const PARALLEL_INSPECTIONS = 8;

/** The labels of an image never change, since its id is a hash of its configuration; those of this many are kept. */
const MAX_CACHED_IMAGES = 1024;

const MAX_EVENTS_WAITING = 10_000;

type Labels = Readonly<Record<string, string>>;

/** An engine that speaks Docker's HTTP API on a unix socket: Docker itself, or Podman's compatible service. */
export class CompatibleEngine implements Engine {
  readonly kind: EngineKind;
  readonly #http: UnixHttp;
  readonly #imageLabels = new Map<string, Labels>();

  constructor(kind: EngineKind, socketPath: string) {
    this.kind = kind;
    this.#http = new UnixHttp(socketPath);
  }

  async version(): Promise<Reading<string>> {
    const answer = await this.#http.getJson("/version");
    if (answer.state !== "found") return notAnswered(answer, "/version");
    const parsed = versionSchema.safeParse(answer.value);
    return parsed.success ? found(parsed.data.Version) : unknown(`${this.kind}: /version has an unexpected shape`);
  }

  async containers(network: string): Promise<Reading<readonly EngineContainer[]>> {
    // Not filtered by the engine: what its network filter says of containers that do not run differs by version.
    const answer = await this.#http.getJson("/containers/json?all=true");
    if (answer.state !== "found") return notAnswered(answer, "/containers/json");
    const listed = listedContainerSchema.array().safeParse(answer.value);
    if (!listed.success) return unknown(`${this.kind}: /containers/json has an unexpected shape`);
    const ids = listed.data
      .filter((entry) => Object.hasOwn(entry.NetworkSettings?.Networks ?? {}, network))
      .map((entry) => entry.Id);
    const containers: EngineContainer[] = [];
    for (let at = 0; at < ids.length; at += PARALLEL_INSPECTIONS) {
      const readings = await Promise.all(ids.slice(at, at + PARALLEL_INSPECTIONS).map((id) => this.container(id)));
      for (const reading of readings) {
        if (reading.state === "unknown") return reading;
        // absent: removed since it was listed; and it may have left the network since
        if (reading.state === "found" && Object.hasOwn(reading.value.networks, network)) containers.push(reading.value);
      }
    }
    return found(containers);
  }

  async container(id: string): Promise<Reading<EngineContainer>> {
    const answer = await this.#http.getJson(`/containers/${encodeURIComponent(id)}/json`);
    if (answer.state !== "found") return answer;
    const inspected = parseInspect(answer.value);
    if (inspected === undefined) return unknown(`${this.kind}: inspecting ${id} gave an unexpected shape`);
    const imageLabels = await this.#labelsOfImage(inspected.imageId);
    return imageLabels.state === "unknown" ? imageLabels : found({ ...inspected, imageLabels });
  }

  async #labelsOfImage(imageId: string): Promise<Reading<Labels>> {
    const cached = this.#imageLabels.get(imageId);
    if (cached !== undefined) return found(cached);
    const answer = await this.#http.getJson(`/images/${encodeURIComponent(imageId)}/json`);
    if (answer.state !== "found") return answer;
    const parsed = imageSchema.safeParse(answer.value);
    if (!parsed.success) return unknown(`${this.kind}: inspecting image ${imageId} gave an unexpected shape`);
    const labels = parsed.data.Config?.Labels ?? {};
    if (this.#imageLabels.size >= MAX_CACHED_IMAGES) this.#imageLabels.clear();
    this.#imageLabels.set(imageId, labels);
    return found(labels);
  }

  async *events(signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const filters = encodeURIComponent(JSON.stringify({ type: ["container", "network"] }));
    // The response's head may come long before the first event, so `listening` is an event of its own.
    const waiting: (EngineEvent | { readonly type: "end"; readonly error: Error | undefined })[] = [];
    let wake = (): void => {};
    const stop = new AbortController();
    const push = (item: (typeof waiting)[number]): void => {
      waiting.push(item);
      wake();
    };
    const pump = async (): Promise<void> => {
      const both = AbortSignal.any([signal, stop.signal]);
      const lines = this.#http.streamJson(`/events?filters=${filters}`, both, () => push({ type: "listening" }));
      for await (const line of lines) {
        const event = parseEvent(line);
        if (event !== undefined) push(event);
        if (waiting.length > MAX_EVENTS_WAITING)
          throw new EngineError(`${this.kind}: more events than can be looked at`);
      }
    };
    void pump().then(
      () => push({ type: "end", error: undefined }),
      (error: unknown) => push({ type: "end", error: error instanceof Error ? error : new EngineError(String(error)) }),
    );
    try {
      for (;;) {
        const next = waiting.shift();
        if (next === undefined) {
          await new Promise<void>((resolve) => (wake = resolve));
        } else if (next.type === "end") {
          if (next.error !== undefined) throw next.error;
          return;
        } else {
          yield next;
        }
      }
    } finally {
      stop.abort();
    }
  }

  async networks(): Promise<Reading<readonly EngineNetwork[]>> {
    const answer = await this.#http.getJson("/networks");
    if (answer.state !== "found") return notAnswered(answer, "/networks");
    const networks = parseNetworks(answer.value);
    return networks === undefined ? unknown(`${this.kind}: /networks has an unexpected shape`) : found(networks);
  }

  async onHostNetwork(): Promise<Reading<readonly string[]>> {
    const answer = await this.#http.getJson("/containers/json");
    if (answer.state !== "found") return notAnswered(answer, "/containers/json");
    const listed = listedContainerSchema.array().safeParse(answer.value);
    if (!listed.success) return unknown(`${this.kind}: /containers/json has an unexpected shape`);
    const names: string[] = [];
    for (const { Id: id, Names: given, NetworkSettings: settings } of listed.data) {
      const networks = Object.keys(settings?.Networks ?? {});
      // Docker lists "host" as a network; Podman lists none, and only the inspection tells
      const isHost = networks.includes("host") || (networks.length === 0 && (await this.#isOnHost(id)));
      if (isHost) names.push(given?.[0]?.replace(/^\//, "") ?? id.slice(0, 12));
    }
    return found(names.toSorted());
  }

  async #isOnHost(id: string): Promise<boolean> {
    const answer = await this.#http.getJson(`/containers/${encodeURIComponent(id)}/json`);
    const parsed = networkModeSchema.safeParse(answer.state === "found" ? answer.value : undefined);
    return parsed.success && parsed.data.HostConfig.NetworkMode === "host";
  }
}

/** These paths always exist; 404 means that something else than an engine answers. */
function notAnswered(answer: Exclude<Reading<unknown>, { state: "found" }>, path: string): Reading<never> {
  return answer.state === "unknown" ? answer : unknown(`${path} is not there`);
}
