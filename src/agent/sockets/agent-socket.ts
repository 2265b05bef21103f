import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { AgentLine, AgentStateLine } from "../../model/agent-protocol.ts";
import type { Files } from "../../system/host.ts";

export interface AgentSocketOptions {
  readonly path: string;
  readonly files: Files;
  /** the group that may connect */
  readonly group: string;
  /** a line is sent at least this often: a longer silence means that the agent is gone */
  readonly tickMs?: number;
}

const TICK_MS = 1_000;

/** A reader that leaves more than this unread is gone or stuck; it is dropped and may come again. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

const MAX_READERS = 64;

/**
 * Serves agent.sock: one JSON line at a time to whoever is connected, nothing is read. Nobody gets a line before the
 * first state is known.
 */
export async function startAgentSocket(options: AgentSocketOptions): Promise<AgentSocket> {
  const server = createServer();
  const agentSocket = new AgentSocket(server, options.tickMs ?? TICK_MS);
  await listenForGroup(server, options);
  return agentSocket;
}

/** Listens on the socket, whose folder is made. Only root and the group may connect. */
export async function listenForGroup(
  server: Server,
  { path, files, group }: Pick<AgentSocketOptions, "path" | "files" | "group">,
): Promise<void> {
  await files.makeFolder(dirname(path), { mode: 0o750, group });
  await files.remove(path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, resolve);
  });
  await files.setOwner(path, { mode: 0o660, group });
}

export class AgentSocket {
  readonly #server: Server;
  readonly #readers = new Set<Socket>();
  readonly #tick: ReturnType<typeof setInterval>;
  #stateText = "";
  #saidSinceTick = false;
  #isClosed = false;

  constructor(server: Server, tickMs: number) {
    this.#server = server;
    server.on("connection", (socket) => this.#add(socket));
    this.#tick = setInterval(() => {
      if (!this.#saidSinceTick) this.#send({ type: "tick" });
      this.#saidSinceTick = false;
    }, tickMs);
  }

  #add(socket: Socket): void {
    // A socket that was accepted before the end and is handed over after it would keep the server open.
    if (this.#isClosed || this.#readers.size >= MAX_READERS) {
      socket.destroy();
      return;
    }
    this.#readers.add(socket);
    socket.on("close", () => this.#readers.delete(socket));
    socket.on("error", () => socket.destroy());
    // Nothing is read, but the stream has to flow for its end to be seen.
    socket.resume();
    if (this.#stateText !== "") socket.write(this.#stateText);
  }

  /** Sends the whole state to everybody when it has changed; each newcomer gets it too. */
  publish(state: Omit<AgentStateLine, "type">): void {
    const text = `${JSON.stringify({ type: "state", ...state })}\n`;
    if (text === this.#stateText) return;
    this.#stateText = text;
    this.#write(text);
  }

  /** Sends records of other servers that are ahead of the store. */
  tellNews(records: Extract<AgentLine, { type: "news" }>["records"]): void {
    this.#send({ type: "news", records });
  }

  #send(line: AgentLine): void {
    if (this.#stateText !== "") this.#write(`${JSON.stringify(line)}\n`);
  }

  #write(text: string): void {
    this.#saidSinceTick = true;
    for (const socket of this.#readers) {
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
      else socket.write(text);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#tick);
    this.#isClosed = true;
    for (const socket of this.#readers) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
