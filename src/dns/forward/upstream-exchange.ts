import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../model/errors.ts";
import { splitHostPort, type Endpoint } from "../../model/address.ts";
import { exchangeTcp } from "../../system/dns-client.ts";
import {
  decodeUpstreamAnswer,
  encodeUpstreamQuery,
  isAnswerTo,
  isTruncated,
  type UpstreamAnswer,
  type UpstreamQuestion,
} from "../wire/upstream-message.ts";
import { RCODE } from "../wire/wire.ts";

/** Sockets per resolver; each has a source port of its own that nobody else knows. */
const SOCKETS = 8;

/** Questions after which a socket is replaced by one with another port. */
const QUESTIONS_PER_SOCKET = 256;

const TCP_TIMEOUT_MS = 2_000;

/** A resolver that is silent for so long is asked without OPT as well, while the wait goes on. */
const SILENT_MS = 500;

/** Silences in a row that are OPT's fault; a single one may be a lost packet. */
const SILENCES = 2;

/** After an answer to a question with OPT, a failure within this time has another cause. */
const OPT_WORKS_MS = 60_000;

/** A resolver that answers without OPT only is tried with it again after this (RFC 6891 §6.2.2). */
const OPT_AGAIN_MS = 15 * 60_000;

/** What resolvers say that do not know OPT, and do not say so as RFC 6891 §7 wants. BADVERS is read as SERVFAIL. */
const BLAMES_OPT: ReadonlySet<number> = new Set([RCODE.FORMERR, RCODE.NOTIMP, RCODE.SERVFAIL, RCODE.REFUSED]);

/** What a resolver, or somebody who poses as it, sends besides answers. */
export type Noise = "junk" | "malformed";

interface Waiting {
  readonly question: UpstreamQuestion;
  readonly take: (message: Uint8Array) => void;
  readonly fail: (why: string) => void;
}

/** One connected UDP socket: packets of anybody but the resolver do not reach it. */
interface ConnectedSocket {
  readonly socket: Bun.udp.ConnectedSocket<"buffer">;
  readonly waiting: Map<number, Waiting>;
  questions: number;
}

/**
 * Asks one resolver. Ids are random. Source ports are the kernel's random ones, and change. Every answer is compared with
 * the question; one that does not match is ignored, and the wait goes on.
 */
export class UpstreamExchange {
  readonly endpoint: Endpoint;
  readonly #onNoise: (kind: Noise) => void;
  readonly #host: string;
  readonly #port: number;
  readonly #sockets = new Map<number, Promise<ConnectedSocket>>();
  /** until when the resolver is asked without OPT; by `performance.now()` */
  #plainUntilMs = 0;
  #optWorkedAtMs = Number.NEGATIVE_INFINITY;
  #silences = 0;
  #isClosed = false;

  /** @param onNoise called for each packet that is no answer to any question, or a malformed one */
  constructor(endpoint: Endpoint, onNoise: (kind: Noise) => void = () => undefined) {
    this.endpoint = endpoint;
    this.#onNoise = onNoise;
    const { host, port } = splitHostPort(endpoint) ?? { host: "", port: 0 };
    this.#host = host;
    this.#port = port;
  }

  /**
   * Resolves with the resolver's answer, whatever its RCODE; a truncated one is asked for over TCP, and given as it is when
   * that fails. Rejects when the signal ends it, the resolver's port is closed, or its answer is malformed.
   */
  async ask(question: UpstreamQuestion, signal: AbortSignal): Promise<UpstreamAnswer> {
    const message = this.#isPlain
      ? await this.#askUdp(question, signal, false)
      : await this.#askWithOpt(question, signal);
    const whole = isTruncated(message) ? await this.#askTcp(question, signal).catch(() => message) : message;
    signal.throwIfAborted();
    return this.#read(whole, question);
  }

  get #isPlain(): boolean {
    return performance.now() < this.#plainUntilMs;
  }

  #read(message: Uint8Array, question: UpstreamQuestion): UpstreamAnswer {
    const answer = decodeUpstreamAnswer(message, question);
    if (answer !== undefined) return answer;
    this.#onNoise("malformed");
    throw new Error(`${this.endpoint} sent a malformed answer`);
  }

  /**
   * Asks with OPT, and once without when the resolver fails or is silent: firewalls drop such questions, and old
   * resolvers refuse them in many ways. What a resolver does without OPT and not with it is remembered.
   */
  async #askWithOpt(question: UpstreamQuestion, signal: AbortSignal): Promise<Uint8Array> {
    const end = new AbortController();
    const both = AbortSignal.any([signal, end.signal]);
    const withOpt = this.#askUdp(question, both, true);
    const withoutOpt = sleep(SILENT_MS, undefined, { signal: both }).then(() => this.#askUdp(question, both, false));
    // Neither failure is lost: one of the two decides.
    withOpt.catch(() => undefined);
    withoutOpt.catch(() => undefined);
    try {
      const [message, hadOpt] = await Promise.race([
        withOpt.then((answer) => [answer, true] as const),
        withoutOpt.then((answer) => [answer, false] as const),
      ]);
      if (hadOpt) return await this.#judge(message, question, both);
      if (!this.#hasOptWorked && ++this.#silences >= SILENCES) this.#askPlainly();
      return message;
    } finally {
      end.abort(new Error("answered"));
    }
  }

  /** Gives the answer to a question with OPT, or a better one without. */
  async #judge(message: Uint8Array, question: UpstreamQuestion, signal: AbortSignal): Promise<Uint8Array> {
    const rcode = this.#read(message, question).rcode;
    this.#silences = 0;
    const isOwnFailure = rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED;
    if (!BLAMES_OPT.has(rcode)) this.#optWorkedAtMs = performance.now();
    if (!BLAMES_OPT.has(rcode) || (isOwnFailure && this.#hasOptWorked)) return message;
    const plain = await this.#askUdp(question, signal, false);
    if (BLAMES_OPT.has(this.#read(plain, question).rcode)) return message;
    this.#askPlainly();
    return plain;
  }

  get #hasOptWorked(): boolean {
    return performance.now() - this.#optWorkedAtMs < OPT_WORKS_MS;
  }

  #askPlainly(): void {
    this.#plainUntilMs = performance.now() + OPT_AGAIN_MS;
    this.#silences = 0;
  }

  close(): void {
    this.#isClosed = true;
    for (const opened of this.#sockets.values()) void opened.then(retire, () => undefined);
    this.#sockets.clear();
  }

  async #askUdp(question: UpstreamQuestion, signal: AbortSignal, hasOpt: boolean): Promise<Uint8Array> {
    const opened = await this.#socket();
    signal.throwIfAborted();
    return await new Promise((resolve, reject) => {
      let id = randomInt(65_536);
      while (opened.waiting.has(id)) id = (id + 1) & 0xffff;
      const end = (): void => {
        opened.waiting.delete(id);
        signal.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        end();
        reject(signal.reason as Error);
      };
      const take = (message: Uint8Array): void => {
        end();
        resolve(message);
      };
      const fail = (why: string): void => {
        end();
        reject(new Error(`${this.endpoint}: ${why}`));
      };
      signal.addEventListener("abort", abort, { once: true });
      opened.waiting.set(id, { question, take, fail });
      try {
        opened.socket.send(encodeUpstreamQuery(question, id, hasOpt));
      } catch (error) {
        fail(messageOf(error));
      }
    });
  }

  async #socket(): Promise<ConnectedSocket> {
    const place = randomInt(SOCKETS);
    const known = this.#sockets.get(place);
    if (known !== undefined) {
      const socket = await known.catch(() => undefined);
      if (socket !== undefined && ++socket.questions < QUESTIONS_PER_SOCKET) return socket;
      if (socket !== undefined && this.#sockets.get(place) === known) retire(socket);
    }
    let next = this.#sockets.get(place);
    if (next === undefined || next === known) {
      next = this.#open();
      this.#sockets.set(place, next);
    }
    const opened = await next;
    if (this.#isClosed) opened.socket.close();
    return opened;
  }

  async #open(): Promise<ConnectedSocket> {
    const waiting = new Map<number, Waiting>();
    const socket = await Bun.udpSocket({
      hostname: this.#host.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname: this.#host, port: this.#port },
      binaryType: "buffer",
      socket: {
        data: (_socket, message) => {
          const id = message.length < 2 ? -1 : message.readUInt16BE(0);
          const asked = waiting.get(id);
          if (asked !== undefined && isAnswerTo(message, asked.question, id)) asked.take(message);
          else this.#onNoise("junk");
        },
        // The kernel reports a closed port. The order of the arguments differs from what the runtime's types say.
        error: (...values: readonly unknown[]) => {
          const error = values.find((value) => value instanceof Error);
          for (const asked of [...waiting.values()]) asked.fail(error?.message ?? "the socket failed");
        },
      },
    });
    return { socket, waiting, questions: 0 };
  }

  async #askTcp(question: UpstreamQuestion, signal: AbortSignal): Promise<Uint8Array> {
    const id = randomInt(65_536);
    const query = encodeUpstreamQuery(question, id, !this.#isPlain);
    const message = await exchangeTcp({ address: this.#host, port: this.#port }, query, TCP_TIMEOUT_MS, signal);
    signal.throwIfAborted();
    if (message !== undefined && isAnswerTo(message, question, id)) return message;
    throw new Error(`${this.endpoint} gave no answer over TCP`);
  }
}

/** Closes a socket once the questions that it has asked are answered or given up. */
function retire(opened: ConnectedSocket): void {
  const timer = setInterval(() => {
    if (opened.waiting.size > 0) return;
    clearInterval(timer);
    opened.socket.close();
  }, 1_000);
}
