import { join } from "node:path";
import { ToolError } from "../tools/errors.ts";
import { EventLog } from "./event-log.ts";
import type { Lab } from "./lab.ts";
import { waitFor } from "./wait.ts";

/** An answer that differs from the one before. */
export interface AnswerChange {
  /** Unix time with fractions, comparable among processes of this machine */
  readonly atMs: number;
  readonly name: string;
  /** null: no answer within half a second */
  readonly rcode: number | null;
  /** sorted as text */
  readonly addresses: readonly string[];
}

/** Watches what one server's jiji-dns answers. */
export interface AnswerWatch {
  readonly server: string;
  /** every change so far, the first answers included */
  readonly changes: readonly AnswerChange[];
  /** Resolves with the first wanted change at or after `sinceMs`, also one that has already come. */
  when(
    name: string,
    isWanted: (change: AnswerChange) => boolean,
    options: { readonly sinceMs?: number; readonly timeoutMs: number },
  ): Promise<AnswerChange>;
  /** The last answer that differed. */
  latest(name: string): AnswerChange | undefined;
  close(): Promise<void>;
}

export interface AnswerRequest {
  readonly server: string;
  readonly dnsAddress: string;
  readonly names: readonly string[];
  /** the pause after each answer; default 5 */
  readonly everyMs?: number;
}

/** Asks a lab server's own jiji-dns for each name, from the server itself. */
export async function watchAnswers(lab: Lab, request: AnswerRequest): Promise<AnswerWatch> {
  const target = lab.servers.find(({ name }) => name === request.server);
  if (target === undefined) throw new ToolError(`there is no server ${request.server}`);
  return watchAnswersFrom(["nsenter", "--net", "-t", `${target.leaderPid()}`], request);
}

/** The same from wherever the command line `enter` leads; resolves with the first answers. */
export async function watchAnswersFrom(enter: readonly string[], request: AnswerRequest): Promise<AnswerWatch> {
  const script = join(import.meta.dir, "answer-watch.ts");
  const settings = [request.dnsAddress, String(request.everyMs ?? 5), ...request.names];
  const watcher = Bun.spawn([...enter, process.execPath, "--no-env-file", script, ...settings], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const watch = new ProcessWatch(request.server, watcher);
  const hasBegun = (): boolean => request.names.every((name) => watch.latest(name) !== undefined);
  await waitFor(hasBegun, { timeoutMs: 20_000, what: `first answers on ${request.server}`, intervalMs: 10 });
  return watch;
}

class ProcessWatch implements AnswerWatch {
  readonly server: string;
  readonly #log = new EventLog<AnswerChange>();
  readonly #latest = new Map<string, AnswerChange>();
  readonly #watcher: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #done: Promise<void>;

  constructor(server: string, watcher: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.server = server;
    this.#watcher = watcher;
    this.#done = this.#read();
  }

  get changes(): readonly AnswerChange[] {
    return this.#log.events;
  }

  latest(name: string): AnswerChange | undefined {
    return this.#latest.get(name);
  }

  when(
    name: string,
    isWanted: (change: AnswerChange) => boolean,
    options: { readonly sinceMs?: number; readonly timeoutMs: number },
  ): Promise<AnswerChange> {
    const isOfName = (change: AnswerChange): boolean => change.name === name && isWanted(change);
    return this.#log.when(isOfName, { ...options, what: `another answer of ${name} on ${this.server}` });
  }

  async close(): Promise<void> {
    await this.#watcher.stdin.end();
    await this.#done;
  }

  async #read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.#watcher.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const change = JSON.parse(line) as AnswerChange;
        this.#latest.set(change.name, change);
        this.#log.add(change);
      }
    }
  }
}
