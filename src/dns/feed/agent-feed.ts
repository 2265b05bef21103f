import { createConnection, type Socket } from "node:net";
import { agentLineSchema, type AgentLine } from "../../model/agent-protocol.ts";
import type { Clock } from "../../system/host.ts";
import { splitLines } from "../../system/line-split.ts";

export interface AgentFeedOptions {
  /** agent.sock */
  readonly path: string;
  readonly clock: Clock;
  /** Called with each state and each piece of news. */
  readonly onLine: (line: Exclude<AgentLine, { type: "tick" }>) => void;
  /** Called when the agent has fallen silent, or speaks again (before its first line). */
  readonly onSilent: (isSilent: boolean) => void;
}

/** The agent says something every second. */
const SILENCE_MS = 3_000;

const RETRY_MS = 250;

/** State of 255 members and news of a whole server are far below this. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/**
 * Listens to the agent until it is closed. It connects again when the stream ends, when a line cannot be read, and after
 * three seconds of silence. Until the first state has come, the agent counts as silent.
 */
export function startAgentFeed(options: AgentFeedOptions): AgentFeed {
  return new AgentFeed(options);
}

class AgentFeed {
  readonly #options: AgentFeedOptions;
  readonly #stop = new AbortController();
  #socket: Socket | undefined;
  #isSilent = true;
  #silence: ReturnType<typeof setTimeout> | undefined;

  readonly #done: Promise<void>;

  constructor(options: AgentFeedOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#socket?.destroy();
    clearTimeout(this.#silence);
    await this.#done;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#listen().catch(() => undefined);
      clearTimeout(this.#silence);
      this.#say(true);
      if (!signal.aborted) await clock.sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }

  async #listen(): Promise<void> {
    const socket = createConnection({ path: this.#options.path });
    this.#socket = socket;
    this.#heard();
    try {
      for await (const line of splitLines(socket, MAX_LINE_BYTES)) {
        const parsed = agentLineSchema.parse(JSON.parse(line));
        this.#heard();
        if (parsed.type === "tick") continue;
        if (parsed.type === "state") this.#say(false);
        this.#options.onLine(parsed);
      }
    } finally {
      socket.destroy();
    }
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#socket?.destroy(), SILENCE_MS);
  }

  #say(isSilent: boolean): void {
    if (isSilent === this.#isSilent || this.#stop.signal.aborted) return;
    this.#isSilent = isSilent;
    this.#options.onSilent(isSilent);
  }
}
