import { JijiError } from "../../model/errors.ts";
import type { Sha256 } from "../../model/keys.ts";
import type { z } from "zod";
import {
  applyEventSchema,
  type ApplyDone,
  type ApplyEvent,
  type ApplyRequest,
  type ShownStep,
} from "../../model/node/apply.ts";
import { failureSchema } from "../../model/node/failure.ts";
import { lockEventSchema } from "../../model/node/lock.ts";
import { nodeFactsSchema, type NodeFacts, type observeRequestSchema } from "../../model/node/observe.ts";
import { nodeStatusSchema, type NodeStatus, type statusRequestSchema } from "../../model/node/status.ts";
import { showJson, showLines, showText } from "../../model/shown-text.ts";
import { parseExactJson } from "../../store/wire.ts";
import { SCRIPT_EXIT, type REMOTE_SUBCOMMANDS } from "../../system/bootstrap-script.ts";
import { SessionEnded, type Connection, type Session } from "../../system/connection.ts";
import { LineTooLong } from "../../system/line-split.ts";

/** A lock that is held on one server until it is given back or the connection ends. */
export interface HeldLock {
  /** resolves when the lock is gone, for whatever reason */
  readonly gone: Promise<void>;
  release(): Promise<void>;
}

export type LockAnswer =
  | { readonly state: "held"; readonly lock: HeldLock }
  | { readonly state: "busy"; readonly holder: string };

/**
 * What the CLI asks of one server. Each call starts `jiji node …` there and throws a JijiError that names the server when
 * it fails; answers are escaped as they come in, so that no caller has to think of it.
 */
export class NodeClient {
  readonly #connection: Connection;
  readonly #server: string;
  readonly #executable: Sha256 | "installed";
  readonly #signal: AbortSignal;

  /**
   * `executable`: the content that is to answer, staged or installed; `installed` takes whatever is there. `signal` ends
   * everything that is under way.
   */
  constructor(connection: Connection, server: string, executable: Sha256 | "installed", signal: AbortSignal) {
    this.#connection = connection;
    this.#server = server;
    this.#executable = executable;
    this.#signal = signal;
  }

  async observe(request: z.input<typeof observeRequestSchema>): Promise<NodeFacts> {
    return this.ask("observe", request, nodeFactsSchema);
  }

  async status(request: z.input<typeof statusRequestSchema>): Promise<NodeStatus> {
    return this.ask("status", request, nodeStatusSchema);
  }

  /** The steps that this goal would take; changes nothing. */
  async plan(
    request: Omit<ApplyRequest, "dryRun">,
  ): Promise<{ readonly steps: readonly ShownStep[]; readonly notes: readonly string[] }> {
    let steps: readonly ShownStep[] = [];
    const done = await this.#apply({ ...request, dryRun: true }, (event) => {
      if (event.type === "plan") steps = event.steps;
    });
    return { steps, notes: done.notes };
  }

  /** Executes; every event is passed on as it comes. */
  async apply(request: Omit<ApplyRequest, "dryRun">, onEvent: (event: ApplyEvent) => void): Promise<ApplyDone> {
    return this.#apply({ ...request, dryRun: false }, onEvent);
  }

  /**
   * Starts the program that will hold the lock, and gives back the call that asks for it; so the starting, which takes
   * long, can happen on all servers at once while the asking keeps its order.
   */
  prepareLock(request: { readonly holder: string }): { ask(): Promise<LockAnswer>; close(): void } {
    const session = this.#start("lock");
    return {
      ask: async () => {
        await this.#send(session, request, false);
        const iterator = session.lines[Symbol.asyncIterator]();
        const event = await this.#nextAnswer(session, iterator, lockEventSchema);
        if (event.type === "busy") {
          session.end();
          return { state: "busy", holder: event.holder };
        }
        const gone = session.exited.then(() => undefined);
        const release = async (): Promise<void> => {
          session.end();
          await gone;
        };
        return { state: "held", lock: { gone, release } };
      },
      close: () => session.kill(),
    };
  }

  /**
   * Starts a subcommand whose answer is read while it comes, line by line and as it is: integers exact, texts not escaped.
   * It goes on until its answer ends, or until `close`, which gives it up.
   */
  stream(
    subcommand: "query",
    request: unknown,
  ): { readonly answers: AsyncGenerator<unknown>; readonly close: () => void } {
    const session = this.#start(subcommand);
    return { answers: this.#answers(session, request), close: () => session.kill() };
  }

  async *#answers(session: Session, request: unknown): AsyncGenerator<unknown> {
    await this.#send(session, request, false);
    const iterator = session.lines[Symbol.asyncIterator]();
    for (;;) {
      const value = await this.#nextValue(session, iterator, parseExactJson);
      // A line that was cut off by the end of its sender is followed by the reason.
      if (value !== undefined) yield value;
    }
  }

  async #apply(request: ApplyRequest, onEvent: (event: ApplyEvent) => void): Promise<ApplyDone> {
    const session = this.#start("apply");
    await this.#send(session, request, true);
    const iterator = session.lines[Symbol.asyncIterator]();
    for (;;) {
      const event = await this.#nextAnswer(session, iterator, applyEventSchema);
      if (event.type === "done") return event;
      onEvent(event);
    }
  }

  /** Asks what has its shapes in a file of its own; gives the one line of the answer. */
  async ask<Answer>(subcommand: Subcommand, request: unknown, schema: z.ZodType<Answer>): Promise<Answer> {
    const session = this.#start(subcommand);
    await this.#send(session, request, true);
    const answer = await this.#nextAnswer(session, session.lines[Symbol.asyncIterator](), schema);
    session.end();
    return answer;
  }

  /**
   * The same for an answer of many lines: `onLine` has each as it comes, up to one for which it gives true. An answer that
   * ends before is a failure, so nobody takes half a list for a whole one.
   */
  async askLines<Line>(
    subcommand: Subcommand,
    request: unknown,
    schema: z.ZodType<Line>,
    onLine: (line: Line) => boolean,
  ): Promise<void> {
    const session = this.#start(subcommand);
    await this.#send(session, request, true);
    const lines = session.lines[Symbol.asyncIterator]();
    while (!onLine(await this.#nextAnswer(session, lines, schema)));
    session.end();
  }

  #start(subcommand: Subcommand): Session {
    this.#signal.throwIfAborted();
    const session = this.#connection.start("run");
    const onAbort = (): void => session.kill();
    this.#signal.addEventListener("abort", onAbort, { once: true });
    void session.exited.then(() => this.#signal.removeEventListener("abort", onAbort));
    // A program that has ended already says why by its end; that is where it is looked for.
    session.write(`${this.#executable} ${subcommand}\n`).catch(() => undefined);
    return session;
  }

  async #send(session: Session, request: unknown, isAll: boolean): Promise<void> {
    try {
      await session.write(`${JSON.stringify(request)}\n`);
      if (isAll) session.end();
    } catch (error) {
      if (!(error instanceof SessionEnded)) throw error;
    }
  }

  /** The next line that is JSON of the expected shape; whatever else ends the waiting is thrown with its reason. */
  async #nextAnswer<Answer>(
    session: Session,
    lines: AsyncIterator<string>,
    schema: z.ZodType<Answer>,
  ): Promise<Answer> {
    const answer = schema.safeParse(showJson(await this.#nextValue(session, lines, JSON.parse)));
    if (answer.success) return answer.data;
    session.kill();
    throw new JijiError("remote", "it gave an answer that this release does not understand", {
      server: this.#server,
      hint: "compare `jiji --version` here with `/opt/jiji/bin/jiji --version` there",
    });
  }

  /** The next line that is a JSON object and no failure. */
  async #nextValue(session: Session, lines: AsyncIterator<string>, parse: (text: string) => unknown): Promise<unknown> {
    for (;;) {
      const next = await this.#nextLine(session, lines);
      if (next === undefined) throw await this.#endOf(session);
      // A login shell may greet; jiji's own lines are JSON objects.
      if (!next.startsWith("{")) continue;
      const value = parseJson(next, parse);
      const { data: failure } = failureSchema.safeParse(value);
      if (failure === undefined) return value;
      const hint = failure.hint === undefined ? undefined : showText(failure.hint);
      throw new JijiError("remote", showLines(failure.message), { server: this.#server, hint });
    }
  }

  async #nextLine(session: Session, lines: AsyncIterator<string>): Promise<string | undefined> {
    try {
      const next = await lines.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      session.kill();
      if (error instanceof LineTooLong) throw new JijiError("remote", error.message, { server: this.#server });
      throw error;
    }
  }

  async #endOf(session: Session): Promise<JijiError> {
    session.end();
    const end = await session.exited;
    this.#signal.throwIfAborted();
    if (end.lost) {
      return new JijiError("connection", "the connection was lost", {
        server: this.#server,
        hint: "run the same command again; it goes on where it stopped",
      });
    }
    if (end.code === SCRIPT_EXIT.notInstalled) {
      return new JijiError("remote", "jiji is not installed there", {
        server: this.#server,
        hint: "run jiji network setup first",
      });
    }
    const said = showText(end.stderr.trim().split("\n").slice(-3).join("; "));
    return new JijiError("remote", `jiji node ended with exit ${end.code}${said === "" ? "" : `: ${said}`}`, {
      server: this.#server,
      hint: "journalctl -n 50 on the server may say more",
    });
  }
}

type Subcommand = (typeof REMOTE_SUBCOMMANDS)[number];

function parseJson(line: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(line);
  } catch {
    return undefined;
  }
}
