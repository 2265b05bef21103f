import type { EngineContainer } from "../../engine/engine.ts";
import type { ContainerState } from "../../model/container-record.ts";
import type { Clock, Log } from "../../system/host.ts";
import type { Drains } from "./drains.ts";
import type { EngineView } from "./engine-watch.ts";
import type { HealthChecks } from "./health-checks.ts";
import { OnceLog } from "../log.ts";
import { publicationOf, type Publication, type PublishContext, type PublishedContainer } from "./publish.ts";

interface Cached {
  readonly container: EngineContainer;
  readonly publication: Publication;
}

/** Turns a view of the engine into what is published, checks and drains included, and says each problem once. */
export class Publisher {
  readonly #context: PublishContext;
  readonly #once: OnceLog;
  readonly #clock: Clock;
  readonly #checks: HealthChecks;
  readonly #drains: Drains;
  /** a container that is the same object has not changed */
  #cache: ReadonlyMap<string, Cached> = new Map();

  constructor(
    context: PublishContext,
    parts: { readonly log: Log; readonly clock: Clock; readonly checks: HealthChecks; readonly drains: Drains },
  ) {
    this.#context = context;
    this.#once = new OnceLog(parts.log);
    this.#clock = parts.clock;
    this.#checks = parts.checks;
    this.#drains = parts.drains;
  }

  /** What the view publishes now. Begins and ends health checks as the view asks for them. */
  publications(view: EngineView): readonly PublishedContainer[] {
    const next = new Map<string, Cached>();
    for (const [id, container] of view.containers) {
      const cached = this.#cache.get(id);
      next.set(id, cached?.container === container ? cached : { container, publication: this.#publish(container) });
    }
    this.#cache = next;
    this.#once.retain(new Set(view.containers.keys()));
    this.#drains.retain(view.containers, this.#clock.monotonicMs());
    this.#checks.update([...next.values()].flatMap(({ container, publication }) => checked(container, publication)));
    return [...next.values()].flatMap(({ container, publication: { published, check } }) =>
      published === undefined
        ? []
        : [{ ...published, state: this.#stateOf(container, published.state, check !== undefined) }],
    );
  }

  #stateOf(container: EngineContainer, engineState: ContainerState, hasCheck: boolean): ContainerState {
    if (container.state !== "running") return engineState;
    if (this.#drains.isDraining(container, this.#clock.monotonicMs())) return "draining";
    return hasCheck ? this.#checks.stateOf(container.id) : engineState;
  }

  #publish(container: EngineContainer): Publication {
    const publication = publicationOf(container, this.#context);
    const name = JSON.stringify(container.name.slice(0, 100));
    for (const problem of publication.problems) {
      this.#once.warn(container.id, problem, `container ${name} (${container.id.slice(0, 12)}): ${problem}`);
    }
    return publication;
  }
}

function checked(
  { id, startedAt, state }: EngineContainer,
  { published, check }: Publication,
): Parameters<HealthChecks["update"]>[0] {
  if (check === undefined || published === undefined || published.address === null || state !== "running") return [];
  return [{ id, address: published.address, startedAt, spec: check }];
}
