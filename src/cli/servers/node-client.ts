import type { z } from "zod";
import { JijiError } from "../../model/errors.ts";
import type { Sha256 } from "../../model/keys.ts";
import type { ApplyDone, ApplyEvent, ApplyRequest, ShownStep } from "../../model/node/apply.ts";
import { failureSchema } from "../../model/node/failure.ts";
import type { QueryEvent, QueryRequest } from "../../model/node/query.ts";
import { SUBCOMMANDS, type AnswerOf, type RemoteSubcommand, type RequestOf } from "../../model/node/subcommands.ts";
import { showJson, showLines, showText } from "../../model/shown-text.ts";
import { parseExactJson } from "../../store/wire.ts";
import { SCRIPT_EXIT } from "../../system/bootstrap-script.ts";
import { SessionEnded, type Connection, type Session } from "../../system/connection.ts";
import { MarkerMissing } from "../../system/answer-marker.ts";
import { LineTooLong } from "../../system/line-split.ts";

/** Subcommands whose answers are lines of several types. */
type LinedSubcommand = {
  [Name in RemoteSubcommand]: AnswerOf<Name> extends { readonly type: string } ? Name : never;
}[RemoteSubcommand];

type LineType<Name extends LinedSubcommand> = AnswerOf<Name>["type"];
type LineOf<Name extends LinedSubcommand, Type> = Extract<AnswerOf<Name>, { readonly type: Type }>;

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
 * Asks one server. Each call starts `jiji node …` there and throws a JijiError that names the server when it fails. Answers
 * are escaped as they come in, so callers can show them.
 */
export class NodeClient {
  readonly #connection: Connection;
  readonly #server: string;
  readonly #executable: Sha256 | "installed";
  readonly #signal: AbortSignal;

  /**
   * `executable`: the hash of the executable to run, staged or installed; `installed` takes whatever is there. `signal`
   * aborts all calls.
   */
  constructor(connection: Connection, server: string, executable: Sha256 | "installed", signal: AbortSignal) {
    this.#connection = connection;
    this.#server = server;
    this.#executable = executable;
    this.#signal = signal;
  }

  /** Asks for an answer of one line. */
  async ask<Name extends RemoteSubcommand>(name: Name, request: RequestOf<Name>): Promise<AnswerOf<Name>> {
    const session = this.#start(name);
    await this.#send(session, request, true);
    const answer = await this.#nextAnswer(session, session.lines[Symbol.asyncIterator](), SUBCOMMANDS[name].answer);
    session.end();
    return answer;
  }

  /**
   * Asks for an answer of many lines: returns the first of type `last` and passes those before it to `onLine` as they come.
   * An answer that ends sooner is a failure, so nobody takes half a list for a whole one.
   */
  async askUntil<Name extends LinedSubcommand, Last extends LineType<Name>>(
    name: Name,
    request: RequestOf<Name>,
    last: Last,
    onLine: (line: AnswerOf<Name>) => void = () => undefined,
  ): Promise<LineOf<Name, Last>> {
    const session = this.#start(name);
    await this.#send(session, request, true);
    const lines = session.lines[Symbol.asyncIterator]();
    const isLast = (line: AnswerOf<Name>): line is LineOf<Name, Last> => line.type === last;
    for (;;) {
      const line = await this.#nextAnswer(session, lines, SUBCOMMANDS[name].answer);
      if (isLast(line)) {
        session.end();
        return line;
      }
      onLine(line);
    }
  }

  /** The steps that this goal would take; changes nothing. */
  async plan(
    request: Omit<ApplyRequest, "dryRun">,
  ): Promise<{ readonly steps: readonly ShownStep[]; readonly notes: readonly string[] }> {
    let steps: readonly ShownStep[] = [];
    const { notes } = await this.askUntil("apply", { ...request, dryRun: true }, "done", (event) => {
      if (event.type === "plan") steps = event.steps;
    });
    return { steps, notes };
  }

  /** Makes the server as the goal says; `onEvent` gets every event as it comes. */
  async apply(request: Omit<ApplyRequest, "dryRun">, onEvent: (event: ApplyEvent) => void): Promise<ApplyDone> {
    return this.askUntil("apply", { ...request, dryRun: false }, "done", onEvent);
  }

  /**
   * Starts the program that will hold the lock; `ask` then takes the lock. Starting takes long, so it can happen on all
   * servers at once, while the locks are taken in order.
   */
  prepareLock(request: RequestOf<"lock">): { ask(): Promise<LockAnswer>; close(): void } {
    const session = this.#start("lock");
    return {
      ask: async () => {
        await this.#send(session, request, false);
        const iterator = session.lines[Symbol.asyncIterator]();
        const event = await this.#nextAnswer(session, iterator, SUBCOMMANDS.lock.answer);
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
   * Asks a server's store. Events come as they are read: integers are exact and texts are not escaped. `close` gives up an
   * answer that has not ended.
   */
  query(request: QueryRequest): { readonly events: AsyncGenerator<QueryEvent, never>; readonly close: () => void } {
    const session = this.#start("query");
    return { events: this.#queryEvents(session, request), close: () => session.kill() };
  }

  async *#queryEvents(session: Session, request: QueryRequest): AsyncGenerator<QueryEvent, never> {
    await this.#send(session, request, false);
    const iterator = session.lines[Symbol.asyncIterator]();
    for (;;) {
      const value = await this.#nextValue(session, iterator, parseExactJson);
      // The sender's end may have cut this line off; the reason follows.
      if (value !== undefined) yield this.#parse(session, SUBCOMMANDS.query.answer, value);
    }
  }

  #start(name: RemoteSubcommand): Session {
    this.#signal.throwIfAborted();
    const session = this.#connection.start("run");
    const onAbort = (): void => session.kill();
    this.#signal.addEventListener("abort", onAbort, { once: true });
    void session.exited.then(() => this.#signal.removeEventListener("abort", onAbort));
    // When the program has already ended, its exit tells why.
    session.write(`${this.#executable} ${name}\n`).catch(() => undefined);
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

  /** The next line, parsed. Throws what else ends the answer, with its reason. */
  async #nextAnswer<Answer>(
    session: Session,
    lines: AsyncIterator<string>,
    schema: z.ZodType<Answer>,
  ): Promise<Answer> {
    return this.#parse(session, schema, showJson(await this.#nextValue(session, lines, JSON.parse)));
  }

  #parse<Answer>(session: Session, schema: z.ZodType<Answer>, value: unknown): Answer {
    const answer = schema.safeParse(value);
    if (answer.success) return answer.data;
    throw this.#notUnderstood(session);
  }

  #notUnderstood(session: Session): JijiError {
    session.kill();
    return new JijiError("remote", "it gave an answer that this release does not understand", {
      server: this.#server,
      hint: "compare `jiji --version` here with `/opt/jiji/bin/jiji --version` there",
    });
  }

  /** The next line that is a JSON object and no failure. */
  async #nextValue(session: Session, lines: AsyncIterator<string>, parse: (text: string) => unknown): Promise<unknown> {
    for (;;) {
      const next = await this.#nextLine(session, lines);
      if (next === undefined) throw await this.#endOf(session);
      // Something else wrote into the answer: what it took the place of is not known.
      if (!next.startsWith("{")) throw this.#notUnderstood(session);
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
      if (error instanceof MarkerMissing) throw await this.#notBegun(session, error);
      session.kill();
      if (error instanceof LineTooLong) throw new JijiError("remote", error.message, { server: this.#server });
      throw error;
    }
  }

  /** Says why the script on the server never began. */
  async #notBegun(session: Session, { said }: MarkerMissing): Promise<JijiError> {
    session.end();
    const end = await session.exited;
    this.#signal.throwIfAborted();
    if (end.lost || end.code !== 0) return this.#endOf(session);
    return markerMissing(this.#server, said);
  }

  async #endOf(session: Session): Promise<JijiError> {
    session.end();
    const end = await session.exited;
    this.#signal.throwIfAborted();
    if (/Session open refused by peer|session request failed/.test(end.stderr)) {
      return new JijiError("connection", "its sshd allows too few sessions on one connection", {
        server: this.#server,
        hint: "raise MaxSessions in its sshd_config (10 is sshd's default), then: systemctl reload ssh, or sshd",
      });
    }
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
    if (end.code === SCRIPT_EXIT.notExecutable || end.code === 126) {
      return new JijiError("remote", "programs under /opt/jiji cannot be executed", {
        server: this.#server,
        hint: "is /opt mounted noexec? findmnt -T /opt/jiji shows it, mount -o remount,exec changes it",
      });
    }
    const said = showText(end.stderr.trim().split("\n").slice(-3).join("; "));
    return new JijiError("remote", `jiji node ended with exit ${end.code}${said === "" ? "" : `: ${said}`}`, {
      server: this.#server,
      hint: "journalctl -n 50 on the server may say more",
    });
  }
}

/** A login shell or a forced command that did not run what it was given: no answer, which is not an empty one. */
export function markerMissing(server: string, said: string): JijiError {
  const words = said === "" ? "" : `; it said: ${showText(said)}`;
  return new JijiError("remote", `its login shell did not run jiji's command${words}`, {
    server,
    hint: "a start-up file of the shell that ends it, or a forced command in sshd_config or authorized_keys, does this",
  });
}

function parseJson(line: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(line);
  } catch {
    return undefined;
  }
}
