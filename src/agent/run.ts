import type { KeyObject } from "node:crypto";
import { dirname } from "node:path";
import type { Engine, EngineContainer, EngineEvent } from "../engine/engine.ts";
import { agentRequestSchema, type AgentAnswer, type CheckedRequest } from "../model/agent-control.ts";
import type { AgentSettings } from "../model/agent-settings.ts";
import type { ClusterCidr } from "../model/cluster.ts";
import type { Identity } from "../model/identity.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import type { StoreClient } from "../store/store.ts";
import type { Clock, Files, Log } from "../system/host.ts";
import type { Udp } from "../system/udp-port.ts";
import { startAgentSocket, type AgentSocket } from "./sockets/agent-socket.ts";
import { AgentState } from "./agent-state.ts";
import { openBootState, type BootState } from "./boot-state.ts";
import { startControlSocket } from "../system/control-socket.ts";
import { Drains } from "./containers/drains.ts";
import { startEngineWatch, type EngineWatch } from "./containers/engine-watch.ts";
import { HealthChecks, type Check } from "./containers/health-checks.ts";
import { startLink, type AgentLink } from "./mesh/link.ts";
import { startMemberWatch, type MemberWatch, type Peers } from "./mesh/member-watch.ts";
import type { RowChange } from "./containers/mirror.ts";
import { newsOfChange } from "./mesh/news.ts";
import { Publisher } from "./containers/publisher.ts";
import { startRowWriter, type RowWriter } from "./containers/row-writer.ts";

/** What the agent works with; the real ones are built by the entry point. */
export interface AgentPorts {
  readonly engine: Engine;
  readonly store: StoreClient;
  readonly files: Files;
  readonly clock: Clock;
  readonly udp: Udp;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly log: Log;
  readonly peers: Peers;
  /** Calls back whenever a file in that folder may have changed. */
  readonly watchFolder: (folder: string, onChange: () => void) => { close(): void };
  /** Starts the relay of the store for jiji-dns, on `settings.sockets.store`. */
  readonly startRelay: () => Promise<{ close(): Promise<void> | void }>;
  /** Whether the whole server is being stopped or rebooted; absent: never. */
  readonly isServerStopping?: () => Promise<boolean>;
  /** how `jiji.check` is made; default: over the network */
  readonly check?: Check;
}

/** Who this server is, as identity.json and spec.json say. */
export interface AgentSelf {
  readonly identity: Identity;
  readonly privateKey: KeyObject;
  readonly cluster: ClusterCidr;
  readonly spec: NodeSpec;
}

export interface Agent {
  /** Somebody is about to restart the engine: see {@link EngineWatch.release}. */
  releaseEngine(): void;
  close(): Promise<void>;
}

/** The group whose members may use the agent's sockets. */
const GROUP = "jiji";

/** A drain is answered when the row says so, and at the latest after this time; it goes on meanwhile. */
const DRAIN_PATIENCE_MS = 2_000;

/**
 * The per-server service: engine → rows, members → peers, probes → reachability, and all of it → jiji-dns. Starts at once,
 * with the engine or the store away too, and waits inside. Rejects only when the sockets cannot be made.
 */
export async function startAgent(settings: AgentSettings, self: AgentSelf, ports: AgentPorts): Promise<Agent> {
  const { files, log } = ports;
  const { identity } = self;
  const socket = await startAgentSocket({ path: settings.sockets.agent, files, group: GROUP });
  const relay = await ports.startRelay();
  const boot = await openBootState(dirname(settings.sockets.agent), files);
  const agent = new RunningAgent({ settings, self, ports, socket, boot });
  const folder = ports.watchFolder(dirname(PATHS.members), () => agent.membersChanged());
  const control = await startControlSocket<CheckedRequest, AgentAnswer>({
    path: settings.sockets.control,
    mode: 0o600,
    request: agentRequestSchema,
    answer: (request) => agent.answer(request),
    refuse: refusal,
  });
  log.info(`agent: started as ${identity.name} (number ${identity.subnet}, ${identity.id})`);
  return {
    releaseEngine: () => agent.releaseEngine(),
    close: async () => {
      folder.close();
      await closePart("the control socket", () => control.close(), ports);
      await agent.close();
      await closePart("the state of this boot", () => boot.flush(), ports);
      await closePart("the store's relay", () => relay.close(), ports);
      await closePart("the socket for jiji-dns", () => socket.close(), ports);
    },
  };
}

/** A part that takes longer than this to close is named: of a service that hangs, systemd shows only that it does. */
const CLOSE_PATIENCE_MS = 1_000;

/** Closes a part and logs its name when that takes long. Rejects as the part does. */
async function closePart(
  name: string,
  close: () => Promise<unknown> | void,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  const closed = new AbortController();
  void clock.sleep(CLOSE_PATIENCE_MS, closed.signal).then(
    () => log.warn(`agent: stopping; ${name} is still open after ${CLOSE_PATIENCE_MS} ms`),
    () => undefined,
  );
  try {
    await close();
  } finally {
    closed.abort();
  }
}

interface AgentParts {
  readonly settings: AgentSettings;
  readonly self: AgentSelf;
  readonly ports: AgentPorts;
  readonly socket: AgentSocket;
  readonly boot: BootState;
}

/** The parts, and which tells which what. No part knows another. */
class RunningAgent {
  readonly #parts: AgentParts;
  readonly #state: AgentState;
  readonly #drains = new Drains();
  readonly #checks: HealthChecks;
  readonly #publisher: Publisher;
  readonly #link: AgentLink;
  readonly #writer: RowWriter;
  readonly #engine: EngineWatch;
  readonly #members: MemberWatch;

  constructor(parts: AgentParts) {
    const { settings, self, ports, socket, boot } = parts;
    const { identity, cluster } = self;
    const { clock, log, store } = ports;
    this.#parts = parts;
    this.#state = new AgentState(identity, socket, boot.isCompared);
    this.#drains.load(boot.drains);
    const check = ports.check === undefined ? {} : { check: ports.check };
    this.#checks = new HealthChecks({ clock, onChange: () => this.#publish(), ...check });
    this.#publisher = new Publisher(
      { network: settings.engine.network, cluster, subnet: identity.subnet },
      { log, clock, checks: this.#checks, drains: this.#drains },
    );
    this.#link = this.#startLink();
    this.#writer = startRowWriter({
      self: identity.id,
      store,
      clock,
      log,
      onChange: (changes) => this.#tell(changes),
      onSettled: (isSettled) => this.#settled(isSettled),
    });
    this.#engine = startEngineWatch({
      engine: ports.engine,
      network: settings.engine.network,
      clock,
      log,
      onChange: (view) => {
        if (view.fullReads > 0) this.#state.setNetworks(view.networks);
        this.#publish();
      },
      onEvent: (event) => this.#engineSaid(event),
    });
    this.#members = startMemberWatch({
      ...self,
      ...ports,
      onChange: (members) => {
        this.#link.setMembers(members);
        this.#state.setMembers(members);
      },
    });
  }

  #startLink(): AgentLink {
    const { settings, self, ports, socket, boot } = this.#parts;
    const link = startLink({
      self: self.identity,
      cluster: self.cluster,
      udp: ports.udp,
      clock: ports.clock,
      log: ports.log,
      random: ports.random,
      lost: boot.lost,
      hasNews: settings.news ?? true,
      onReachability: (hidden, lost) => {
        this.#state.setUnreachable(hidden);
        boot.saveLost(lost);
      },
      onNews: (records) => socket.tellNews([...records]),
      onRecheck: () => this.#look(),
    });
    link.setReady(boot.isCompared);
    return link;
  }

  membersChanged(): void {
    this.#members.fileChanged();
  }

  releaseEngine(): void {
    this.#engine.release();
  }

  async close(): Promise<void> {
    // Containers end with the server, and nobody is left to tell the end of each.
    if ((await this.#parts.ports.isServerStopping?.()) === true) await this.#link.farewell();
    this.#link.close();
    this.#checks.close();
    const { ports } = this.#parts;
    await Promise.all([
      closePart("the watch of the engine", () => this.#engine.close(), ports),
      closePart("the writer of rows", () => this.#writer.close(), ports),
      closePart("the watch of members", () => this.#members.close(), ports),
    ]);
  }

  #publish(): void {
    const { view } = this.#engine;
    // Before the first whole list nothing is known, so nothing may count as gone.
    if (view.fullReads > 0) this.#writer.publish(this.#publisher.publications(view));
  }

  #tell(changes: readonly RowChange[]): void {
    const serverId = this.#parts.self.identity.id;
    const rows = changes.flatMap((change) => newsOfChange(change));
    this.#link.tell(rows);
    if (rows.length > 0) this.#parts.socket.tellNews(rows.map(([n, record]) => ({ serverId, n, record })));
  }

  #settled(isSettled: boolean): void {
    if (!isSettled || !this.#state.setReady()) return;
    this.#link.setReady(true);
    this.#parts.boot.saveCompared();
    this.#parts.ports.log.info("agent: the rows are as the engine says");
  }

  #engineSaid({ id, action, signal }: ContainerEvent): void {
    const container = this.#engine.view.containers.get(id);
    if (action !== "kill" || signal === undefined || container === undefined) return;
    // hidden before it stops, not after
    if (this.#drains.signalled(container, signal, this.#parts.ports.clock.monotonicMs())) this.#publish();
  }

  #look(): void {
    this.#engine.look();
    this.#writer.look();
  }

  /** See agent-control.ts. */
  answer(request: CheckedRequest): Promise<AgentAnswer> {
    if (request.type === "status") return Promise.resolve(this.#status());
    if (request.type === "drain") return this.#drain(request.container, request.undo);
    const isOwn = request.server === undefined || request.server === this.#parts.self.identity.id;
    if (isOwn) this.#look();
    const isAsked = isOwn || this.#link.askToRecheck(request.server ?? "");
    return Promise.resolve(isAsked ? { type: "asked" } : refusal("that server cannot be heard"));
  }

  #status(): AgentAnswer {
    const { view } = this.#engine;
    return {
      type: "status",
      ready: this.#state.isReady,
      settled: this.#writer.isSettled,
      engine: { kind: this.#parts.ports.engine.kind, isAnswering: view.isAnswering },
      containers: { known: view.containers.size, published: this.#writer.rows?.size ?? 0 },
      peers: [...this.#link.report()],
      dropped: { ...this.#link.dropped },
    };
  }

  async #drain(text: string, isUndone: boolean): Promise<AgentAnswer> {
    const fitting = fittingContainers([...this.#engine.view.containers.values()], text);
    const [container] = fitting;
    if (container === undefined) return refusal("no container on this server's network jiji has that id or name");
    if (fitting.length > 1)
      return { ...refusal("several containers fit"), candidates: fitting.map(({ id, name }) => ({ id, name })) };
    if (isUndone) this.#drains.undo(container.id);
    else this.#drains.drain(container);
    this.#parts.boot.saveDrains(this.#drains.encode());
    this.#publish();
    await this.#writer.whenSettled(DRAIN_PATIENCE_MS);
    return { type: "drained", containerId: container.id, name: container.name, isDraining: !isUndone };
  }
}

type ContainerEvent = Extract<EngineEvent, { type: "container" }>;

function refusal(why: string): Extract<AgentAnswer, { type: "refused" }> {
  return { type: "refused", why, candidates: [] };
}

/** The container with exactly that id or name, else all whose id begins so. */
function fittingContainers(containers: readonly EngineContainer[], text: string): readonly EngineContainer[] {
  const exact = containers.filter(({ id, name }) => id === text || name === text);
  if (exact.length > 0) return exact;
  return /^[0-9a-f]{4,64}$/.test(text) ? containers.filter(({ id }) => id.startsWith(text)) : [];
}
