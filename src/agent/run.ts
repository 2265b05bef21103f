import type { KeyObject } from "node:crypto";
import { dirname } from "node:path";
import type { Engine, EngineContainer } from "../engine/engine.ts";
import type { AgentStateLine } from "../model/agent-protocol.ts";
import type { AgentSettings } from "../model/agent-settings.ts";
import type { ClusterCidr } from "../model/cluster.ts";
import type { Identity } from "../model/identity.ts";
import { PATHS } from "../model/paths.ts";
import type { Member } from "../model/server-record.ts";
import type { StoreClient } from "../store/store.ts";
import type { Clock, Files } from "../system/host.ts";
import { startAgentSocket, type AgentSocket } from "./agent-socket.ts";
import { openBootMarker } from "./boot-marker.ts";
import { startEngineWatch, type EngineView } from "./engine-watch.ts";
import { OnceLog, type Log } from "./log.ts";
import { startMemberWatch, type Peers } from "./member-watch.ts";
import { publicationOf, type PublishContext, type PublishedContainer } from "./publish.ts";
import { startRowWriter } from "./row-writer.ts";

/** What the agent works with; the real ones are built by the entry point. */
export interface AgentPorts {
  readonly engine: Engine;
  readonly store: StoreClient;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly peers: Peers;
  /** Calls back whenever a file in that folder may have changed. */
  readonly watchFolder: (folder: string, onChange: () => void) => { close(): void };
  /** Starts the relay of the store for jiji-dns, on `settings.sockets.store`. */
  readonly startRelay: () => Promise<{ close(): Promise<void> | void }>;
}

/** Who this server is, as identity.json and spec.json say. */
export interface AgentSelf {
  readonly identity: Identity;
  readonly privateKey: KeyObject;
  readonly cluster: ClusterCidr;
}

export interface Agent {
  close(): Promise<void>;
}

/** The group whose members may use the agent's sockets. */
const GROUP = "jiji";

/**
 * The per-server service: engine → rows, members → peers, both → jiji-dns. Starts at once, with the engine or the store
 * away too, and waits inside. Rejects only when the sockets cannot be made.
 */
export async function startAgent(settings: AgentSettings, self: AgentSelf, ports: AgentPorts): Promise<Agent> {
  const socket = await startAgentSocket({ path: settings.sockets.agent, files: ports.files, group: GROUP });
  const relay = await ports.startRelay();
  const boot = await openBootMarker(dirname(settings.sockets.agent), ports.files);
  const state = new AgentState(self.identity, socket, boot.isReady);
  const publisher = new Publisher(settings, self, ports.log);

  const writer = startRowWriter({
    self: self.identity.id,
    store: ports.store,
    clock: ports.clock,
    log: ports.log,
    onSettled: (isSettled) => {
      if (isSettled && state.setReady()) void boot.markReady();
    },
  });
  const engineWatch = startEngineWatch({
    engine: ports.engine,
    network: settings.engine.network,
    clock: ports.clock,
    log: ports.log,
    onChange: (view) => {
      if (view.fullReads === 0) return;
      state.setNetworks(view.networks);
      writer.publish(publisher.publications(view));
    },
  });
  const memberWatch = startMemberWatch({
    ...self,
    store: ports.store,
    files: ports.files,
    clock: ports.clock,
    log: ports.log,
    peers: ports.peers,
    onChange: (members) => state.setMembers(members),
  });
  const folder = ports.watchFolder(dirname(PATHS.members), () => memberWatch.fileChanged());
  ports.log.info(`agent: started as ${self.identity.name} (number ${self.identity.subnet}, ${self.identity.id})`);
  return {
    close: async () => {
      folder.close();
      await Promise.all([engineWatch.close(), writer.close(), memberWatch.close()]);
      await relay.close();
      await socket.close();
    },
  };
}

/** Collects what agent.sock says; nothing is said before members.json was read. */
class AgentState {
  readonly #socket: AgentSocket;
  readonly #self: Identity;
  #servers: AgentStateLine["servers"] | undefined;
  #networks: readonly string[] = [];
  #isReady: boolean;

  constructor(self: Identity, socket: AgentSocket, isReady: boolean) {
    this.#self = self;
    this.#socket = socket;
    this.#isReady = isReady;
  }

  setMembers(members: readonly Member[]): void {
    this.#servers = members.map(({ id, name, subnet }) => ({ id, name, subnet }));
    this.#publish();
  }

  setNetworks(networks: readonly string[]): void {
    this.#networks = networks;
    this.#publish();
  }

  /** Gives whether that is news. */
  setReady(): boolean {
    if (this.#isReady) return false;
    this.#isReady = true;
    this.#publish();
    return true;
  }

  #publish(): void {
    if (this.#servers === undefined) return;
    this.#socket.publish({
      self: this.#self.id,
      networks: [...this.#networks],
      servers: this.#servers,
      unreachable: [],
      ready: this.#isReady,
    });
  }
}

interface CachedPublication {
  readonly container: EngineContainer;
  readonly published: PublishedContainer | undefined;
}

/** Turns a view of the engine into what is published, and says each container's problem once. */
class Publisher {
  readonly #context: PublishContext;
  readonly #once: OnceLog;
  /** a container that is the same object has not changed */
  #cache: ReadonlyMap<string, CachedPublication> = new Map();

  constructor(settings: AgentSettings, self: AgentSelf, log: Log) {
    this.#context = { network: settings.engine.network, cluster: self.cluster, subnet: self.identity.subnet };
    this.#once = new OnceLog(log);
  }

  publications(view: EngineView): readonly PublishedContainer[] {
    const next = new Map<string, CachedPublication>();
    for (const [id, container] of view.containers) {
      const cached = this.#cache.get(id);
      next.set(id, cached?.container === container ? cached : { container, published: this.#publish(container) });
    }
    this.#cache = next;
    this.#once.retain(new Set(view.containers.keys()));
    return [...next.values()].flatMap(({ published }) => (published === undefined ? [] : [published]));
  }

  #publish(container: EngineContainer): PublishedContainer | undefined {
    const { published, problems } = publicationOf(container, this.#context);
    const name = JSON.stringify(container.name.slice(0, 100));
    for (const problem of problems) {
      this.#once.warn(container.id, problem, `container ${name} (${container.id.slice(0, 12)}): ${problem}`);
    }
    return published;
  }
}
