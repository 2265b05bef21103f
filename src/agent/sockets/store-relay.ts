import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { messageOf } from "../../model/errors.ts";
import { parseJson } from "../../model/json.ts";
import type { Secret } from "../../model/secret.ts";
import { sendRequest, type StoreAnswer } from "../../store/http-request.ts";
import { SUBSCRIPTIONS } from "../../store/queries.ts";
import { noticeStall, type RowDigest } from "../../store/stall.ts";
import { storeAddress, type StoreUrl } from "../../store/store-url.ts";
import type { Clock, Files, Log } from "../../system/host.ts";
import { splitLines } from "../../system/line-split.ts";
import { listenForGroup } from "./agent-socket.ts";
import { digestAnswer, RelayedRows } from "./relayed-rows.ts";

export interface StoreRelayOptions {
  /** the socket; its folder is made */
  readonly path: string;
  readonly files: Files;
  /** the group that may connect */
  readonly group: string;
  /** the real store */
  readonly url: StoreUrl;
  readonly token?: Secret | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export interface StoreRelay {
  close(): Promise<void>;
}

/** How often each stream is compared with the store. */
const PROBE_MS = 15_000;
const HEAD_TIMEOUT_MS = 30_000;
const MAX_STREAMS = 16;
const MAX_BODY_BYTES = 4096;
const MAX_REFUSAL_BYTES = 64 * 1024;
/** The subscriptions bound their rows; a line is at most six times as long, when every character is escaped. */
const MAX_LINE_BYTES = 1024 * 1024;

const ALLOWED: ReadonlySet<string> = new Set(Object.values(SUBSCRIPTIONS));

/**
 * Serves store.sock: Corrosion's `POST /v1/subscriptions` with exactly the texts of {@link SUBSCRIPTIONS}, and 403 for
 * everything else, so that jiji-dns needs no token and can ask for nothing more. Lines pass through as they come, at the
 * reader's pace. Each stream is compared with the store's own table from time to time (stall.ts), and ended when it has
 * missed something; the reader then subscribes anew.
 * Rejects when the socket cannot be made; the store may be away.
 */
export async function startStoreRelay(options: StoreRelayOptions): Promise<StoreRelay> {
  const relay = new Relay(options);
  const server = createServer((request, response) => {
    void relay.answer(request, response);
  });
  server.timeout = 0;
  server.on("connection", (socket) => relay.connected(socket));
  await listenForGroup(server, options);
  return { close: () => relay.close(server) };
}

class Relay {
  readonly #options: StoreRelayOptions;
  readonly #closed = new AbortController();
  #streams = 0;

  constructor(options: StoreRelayOptions) {
    this.#options = options;
  }

  /** One that was accepted before the end and is handed over after it would keep the server open. */
  connected(socket: Socket): void {
    if (this.#closed.signal.aborted) socket.destroy();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {});
    try {
      const sql = await readAllowed(request);
      if (sql === undefined) refuse(response, 403, "only the subscriptions of jiji-dns are let through here");
      else if (this.#streams >= MAX_STREAMS) refuse(response, 503, "too many streams");
      else await this.#relay(sql, response);
    } catch (error) {
      // The store is away, or the client is. Before the head the client is told; after it the stream just ends.
      if (response.headersSent) response.end();
      else refuse(response, 502, messageOf(error));
    }
  }

  async close(server: Server): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    this.#closed.abort();
    server.closeAllConnections();
    await closed;
  }

  async #relay(sql: string, response: ServerResponse): Promise<void> {
    this.#streams += 1;
    const gone = new AbortController();
    const ends = AbortSignal.any([gone.signal, this.#closed.signal]);
    response.once("close", () => gone.abort());
    try {
      const answer = await this.#ask("/v1/subscriptions", sql, HEAD_TIMEOUT_MS, ends);
      if (answer.status !== 200) {
        await passRefusal(answer, response);
        return;
      }
      response.writeHead(200, headersOf(answer)).flushHeaders();
      const rows = new RelayedRows();
      const watching = this.#watch(sql, rows, answer, ends);
      for await (const line of splitLines(passing(answer, response), MAX_LINE_BYTES)) {
        rows.take(line);
        if (!rows.isSound) {
          this.#options.log.warn("store relay: a change is missing; the subscription starts again");
          break;
        }
      }
      response.end();
      gone.abort();
      await watching;
    } finally {
      gone.abort();
      this.#streams -= 1;
    }
  }

  /** Ends the stream when it has stalled. */
  async #watch(sql: string, told: RelayedRows, answer: StoreAnswer, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const readStored = (): Promise<RowDigest | undefined> => this.#readStored(sql, signal);
    const why = await noticeStall({ clock, signal, told, readStored, probeMs: PROBE_MS });
    if (why === undefined) return;
    log.warn(`store relay: ${why}; it starts again`);
    answer.close();
  }

  async #readStored(sql: string, ends: AbortSignal): Promise<RowDigest | undefined> {
    const answer = await this.#ask("/v1/queries", sql, HEAD_TIMEOUT_MS, ends);
    const timer = setTimeout(() => answer.close(), HEAD_TIMEOUT_MS);
    try {
      return answer.status === 200 ? await digestAnswer(splitLines(answer.body, MAX_LINE_BYTES)) : undefined;
    } finally {
      clearTimeout(timer);
      answer.close();
    }
  }

  #ask(path: string, sql: string, headTimeoutMs: number, signal: AbortSignal): Promise<StoreAnswer> {
    const { url, token } = this.#options;
    const body = JSON.stringify(sql);
    return sendRequest(storeAddress(url), { method: "POST", path, body, token, signal, headTimeoutMs });
  }
}

/** The statement of a request that may pass; undefined for any other request. */
async function readAllowed(request: IncomingMessage): Promise<string | undefined> {
  if (request.method !== "POST" || request.url !== "/v1/subscriptions") return undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  const json = parseJson(Buffer.concat(chunks).toString("utf8"));
  return typeof json === "string" && ALLOWED.has(json) ? json : undefined;
}

function refuse(response: ServerResponse, status: number, why: string): void {
  const body = JSON.stringify({ error: why });
  response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(body);
}

/** The store's own words about its refusal; never its headers. */
async function passRefusal(answer: StoreAnswer, response: ServerResponse): Promise<void> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body) {
    bytes += chunk.length;
    if (bytes > MAX_REFUSAL_BYTES) break;
    chunks.push(chunk);
  }
  answer.close();
  response.writeHead(answer.status).end(Buffer.concat(chunks));
}

function headersOf(answer: StoreAnswer): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of ["corro-query-id", "corro-query-hash"]) {
    const value = answer.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

/** Hands each piece of the body to the client, waiting while it is slow, and then on. */
async function* passing(answer: StoreAnswer, response: ServerResponse): AsyncGenerator<Uint8Array> {
  for await (const chunk of answer.body) {
    if (!response.write(chunk)) await drained(response);
    yield chunk;
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
