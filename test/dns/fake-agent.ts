import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { web1, web2, cleanUps } from "./dns-world.ts";
import type { AgentLine, AgentStateLine } from "../../src/model/agent-protocol.ts";

/** An agent whose socket says what a test has it say, to one listener. It ends with the test. */
export class FakeAgent {
  readonly path: string;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  #isMute = false;
  /** what it says of the mesh: it is web1, and web2 is there too */
  #state: AgentStateLine = {
    type: "state",
    self: web1.id,
    networks: [],
    servers: [web1, web2].map(({ id, name, subnet }) => ({ id, name, subnet })),
    unreachable: [],
    ready: true,
  };

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer((socket) => {
      this.#sockets.push(socket);
      socket.on("error", () => undefined);
      if (!this.#isMute) this.say(this.#state);
    });
  }

  static async start(more: Partial<AgentStateLine> = {}): Promise<FakeAgent> {
    const folder = await mkdtemp(join(tmpdir(), "jiji-agent-"));
    cleanUps.push(() => rm(folder, { recursive: true, force: true }));
    const agent = new FakeAgent(join(folder, "agent.sock"));
    agent.#state = { ...agent.#state, ...more };
    await new Promise<void>((resolve) => agent.#server.listen(agent.path, resolve));
    cleanUps.push(() => agent.leave());
    return agent;
  }

  /** How often somebody has connected so far. */
  get connections(): number {
    return this.#sockets.length;
  }

  say(line: AgentLine): void {
    this.#sockets.at(-1)?.write(`${JSON.stringify(line)}\n`);
  }

  /** Says another state, as it will to everybody who connects. */
  state(more: Partial<AgentStateLine>): void {
    this.#state = { ...this.#state, ...more };
    this.#isMute = false;
    this.say(this.#state);
  }

  /** Says nothing any more, to nobody; who is connected stays so. */
  mute(): void {
    this.#isMute = true;
  }

  /** Ends the connection there is. */
  cut(): void {
    this.#sockets.at(-1)?.destroy();
  }

  /** Is there no more. */
  async leave(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
