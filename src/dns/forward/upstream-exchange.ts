import { randomInt } from "node:crypto";
import { splitHostPort, type Endpoint } from "../../model/address.ts";
import { exchangeTcp } from "../../system/dns-client.ts";
import {
  decodeUpstreamAnswer,
  encodeUpstreamQuery,
  isAnswerTo,
  isTruncated,
  rcodeOf,
  type UpstreamAnswer,
  type UpstreamQuestion,
} from "../wire/upstream-message.ts";
import { RCODE } from "../wire/wire.ts";

/** Sockets per resolver; each has a source port of its own that nobody else knows. */
const SOCKETS = 8;

/** Questions after which a socket is replaced by one with another port. */
const QUESTIONS_PER_SOCKET = 256;

const TCP_TIMEOUT_MS = 3_000;

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
  /** the resolver was seen to refuse OPT */
  #hasNoEdns = false;
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
   * Resolves with the resolver's answer, whatever its RCODE. Rejects when the signal ends it, the resolver's port is
   * closed, or its answer is malformed.
   */
  async ask(question: UpstreamQuestion, signal: AbortSignal): Promise<UpstreamAnswer> {
    let message = await this.#askUdp(question, signal, !this.#hasNoEdns);
    const rcode = rcodeOf(message);
    if (!this.#hasNoEdns && (rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP)) {
      message = await this.#askUdp(question, signal, false);
      this.#hasNoEdns = rcodeOf(message) !== rcode;
    }
    if (isTruncated(message)) message = await this.#askTcp(question, signal);
    const answer = decodeUpstreamAnswer(message, question);
    if (answer === undefined) {
      this.#onNoise("malformed");
      throw new Error(`${this.endpoint} sent a malformed answer`);
    }
    return answer;
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
        fail(error instanceof Error ? error.message : String(error));
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
    const query = encodeUpstreamQuery(question, id, !this.#hasNoEdns);
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
