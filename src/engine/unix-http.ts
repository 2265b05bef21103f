import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { splitLines } from "../system/line-split.ts";
import { EngineError } from "./engine.ts";

/** A read that takes longer than this counts as not answered. */
const READ_TIMEOUT_MS = 10_000;

/** One line of a stream is never longer than this; a longer one breaks the stream off. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

interface UnixRequestInit extends RequestInit {
  readonly unix: string;
  /** Bun ends a body that is idle for 300 s unless this is false */
  readonly timeout: false;
  readonly keepalive: false;
}

/** HTTP/1.1 over a unix socket, one connection per request, so that no answer waits behind an endless one. */
export class UnixHttp {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  #init(signal: AbortSignal): UnixRequestInit {
    return { unix: this.#socketPath, timeout: false, keepalive: false, signal, redirect: "error" };
  }

  #describe(path: string): string {
    return `${path.replace(/\?.*/, "")} on ${this.#socketPath}`;
  }

  /** GET a JSON value. 404 is `absent`; everything else that is not 200 with JSON is `unknown`. */
  async getJson(path: string): Promise<Reading<unknown>> {
    const what = this.#describe(path);
    try {
      const response = await fetch(`http://engine${path}`, this.#init(AbortSignal.timeout(READ_TIMEOUT_MS)));
      const text = await response.text();
      if (response.status === 404) return ABSENT;
      if (response.status !== 200) return unknown(`${what}: status ${response.status}`);
      return found(JSON.parse(text));
    } catch (error) {
      return unknown(`${what}: ${reasonOf(error)}`);
    }
  }

  /**
   * Opens a stream of JSON lines. `onOpen` is called when the head has come. Throws {@link EngineError} when the other side
   * refuses, ends or breaks off; ends quietly only when `signal` is aborted. Lines that are not JSON are skipped.
   */
  async *streamJson(path: string, signal: AbortSignal, onOpen: () => void): AsyncGenerator<unknown> {
    const what = this.#describe(path);
    try {
      const response = await fetch(`http://engine${path}`, this.#init(signal));
      if (response.status !== 200 || response.body === null) {
        throw new EngineError(`${what}: status ${response.status}`);
      }
      onOpen();
      for await (const line of splitLines(response.body, MAX_LINE_BYTES)) {
        const value = parseJsonLine(line);
        if (value !== undefined) yield value;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof EngineError) throw error;
      throw new EngineError(`${what}: ${reasonOf(error)}`, { cause: error });
    }
    if (!signal.aborted) throw new EngineError(`${what}: the engine ended the stream`);
  }
}

/** Bun's messages end in advice for its own users. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

function parseJsonLine(line: string): unknown {
  if (line.trim() === "") return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
