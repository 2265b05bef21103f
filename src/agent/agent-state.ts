import type { AgentStateLine } from "../model/agent-protocol.ts";
import type { Identity } from "../model/identity.ts";
import type { Member } from "../model/server-record.ts";
import type { AgentSocket } from "./sockets/agent-socket.ts";

/** Collects what agent.sock says of the state; nothing is said before members.json was read. */
export class AgentState {
  readonly #socket: AgentSocket;
  readonly #self: Identity;
  #servers: AgentStateLine["servers"] | undefined;
  #networks: readonly string[] = [];
  #unreachable: readonly string[] = [];
  #isReady: boolean;

  constructor(self: Identity, socket: AgentSocket, isReady: boolean) {
    this.#self = self;
    this.#socket = socket;
    this.#isReady = isReady;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  setMembers(members: readonly Member[]): void {
    this.#servers = members.map(({ id, name, subnet }) => ({ id, name, subnet }));
    this.#publish();
  }

  setNetworks(networks: readonly string[]): void {
    this.#networks = networks;
    this.#publish();
  }

  setUnreachable(ids: readonly string[]): void {
    this.#unreachable = ids;
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
      unreachable: [...this.#unreachable],
      ready: this.#isReady,
    });
  }
}
