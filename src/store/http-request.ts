import { request, type IncomingMessage } from "node:http";
import type { Secret } from "../model/secret.ts";
import type { StoreAddress } from "./store-url.ts";
import { StoreError } from "./store.ts";

/** One request to a store. */
export interface StoreRequest {
  readonly method: "GET" | "POST";
  /** path and query */
  readonly path: string;
  /** JSON */
  readonly body?: string | undefined;
  readonly token?: Secret | undefined;
  /** ends the request and, later, the reading of its body */
  readonly signal?: AbortSignal | undefined;
  /** until the head of the answer; the body may then be silent for ever */
  readonly headTimeoutMs: number;
  /** until there is a connection; default 5000: a host that does not answer at all, not even by a refusal, is away */
  readonly connectTimeoutMs?: number;
}

/** An answer whose head has come. */
export interface StoreAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  /** the body as it comes, at the reader's pace; throws when the connection breaks before its end */
  readonly body: AsyncIterable<Uint8Array>;
  close(): void;
}

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Sends one request over a socket of its own (HTTP/1.1). node:http and not fetch, because fetch follows HTTP_PROXY (and
 * would hand the token to it), opens at most 256 connections per process, of which each subscription would keep one, and
 * ends bodies that are idle for five minutes. Nothing is pooled, so no request meets a connection that has just gone.
 * Throws a {@link StoreError} when no head comes.
 */
export function sendRequest(address: StoreAddress, message: StoreRequest): Promise<StoreAnswer> {
  const where = address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
  const body = message.body === undefined ? undefined : Buffer.from(message.body, "utf8");
  const headers: Record<string, string | number> = {};
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    headers["content-length"] = body.length;
  }
  if (message.token !== undefined) headers["authorization"] = `Bearer ${message.token.reveal()}`;
  const target = address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };

  return new Promise((resolve, reject) => {
    const { signal } = message;
    if (signal?.aborted === true) {
      reject(cancelled(signal));
      return;
    }
    const sent = request({ ...target, method: message.method, path: message.path, headers, agent: false });
    let settled = false;
    const fail = (error: StoreError): void => {
      if (settled) return;
      settled = true;
      cleanUp();
      sent.destroy();
      reject(error);
    };
    const headTimer = setTimeout(() => {
      fail(new StoreError(`the store at ${where} gave no answer in ${message.headTimeoutMs} ms`));
    }, message.headTimeoutMs);
    const connectTimeoutMs = message.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const connectTimer = setTimeout(() => {
      fail(new StoreError(`no connection to the store at ${where} in ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    const onAbort = (): void => fail(cancelled(signal));
    const cleanUp = (): void => {
      clearTimeout(headTimer);
      clearTimeout(connectTimer);
      signal?.removeEventListener("abort", onAbort);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    sent.on("socket", (socket) => {
      if (!socket.connecting) clearTimeout(connectTimer);
      else socket.once("connect", () => clearTimeout(connectTimer));
    });
    // A later error belongs to the body, which reports it itself.
    sent.on("error", (cause) => {
      fail(new StoreError(`the store at ${where} cannot be reached: ${cause.message}`, undefined, { cause }));
    });
    sent.on("response", (response) => {
      if (settled) return;
      settled = true;
      cleanUp();
      resolve(answerOf(response, signal));
    });
    sent.end(body);
  });
}

function cancelled(signal: AbortSignal | undefined): StoreError {
  return new StoreError("the request to the store was cancelled", undefined, { cause: signal?.reason });
}

function answerOf(response: IncomingMessage, signal: AbortSignal | undefined): StoreAnswer {
  const close = (): void => {
    response.destroy();
  };
  signal?.addEventListener("abort", close, { once: true });
  response.once("close", () => signal?.removeEventListener("abort", close));
  // Without a listener, a break between the head and the first read would be an uncaught error.
  response.on("error", () => {});
  return {
    status: response.statusCode ?? 0,
    header: (name) => {
      const value = response.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    body: response,
    close,
  };
}
