import type { IncomingMessage, ServerResponse } from "node:http";
import { messageOf } from "../../model/errors.ts";
import type { Clock } from "../../system/host.ts";
import type { EmbeddedDatabase } from "./embedded-database.ts";
import type { EmbeddedSubscriptions } from "./embedded-subscriptions.ts";
import { LineStream } from "./line-stream.ts";
import { SqlRefused } from "../sql-text.ts";
import { decodeStatement, parseExactJson, type DecodedStatement } from "../wire.ts";

/** Requests of one route that may be on their way to a head at the same time, as in Corrosion. */
const MAX_CONCURRENT = 128;
const MAX_CONCURRENT_CHEAP = 4;
const DEFAULT_QUERY_SECONDS = 60;
/** Corrosion sets no limit; this keeps a mistake from filling the memory. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** An answer that is no success, with the body that Corrosion gives: JSON, or plain text for a malformed request. */
class Refusal extends Error {
  readonly status: number;
  readonly body: string;
  readonly plain: boolean;

  constructor(status: number, body: string, plain = false) {
    super(body);
    this.name = "Refusal";
    this.status = status;
    this.body = body;
    this.plain = plain;
  }
}

const malformed = (status: number, text: string): Refusal => new Refusal(status, text, true);
const sqlRefused = (status: number, why: string): Refusal => new Refusal(status, JSON.stringify({ error: why }));

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

type Handler = (exchange: Exchange) => Promise<void>;

interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly limit: number;
  readonly handle: Handler;
}

/** The routes of the embedded store: each reads its request, asks the database, and writes Corrosion's answer. */
export class EmbeddedRoutes {
  readonly #database: EmbeddedDatabase;
  readonly #subscriptions: EmbeddedSubscriptions;
  readonly #clock: Clock;
  readonly #underWay = new Map<string, number>();
  readonly #routes: readonly Route[];

  constructor(database: EmbeddedDatabase, subscriptions: EmbeddedSubscriptions, clock: Clock) {
    this.#database = database;
    this.#subscriptions = subscriptions;
    this.#clock = clock;
    const route = (method: "GET" | "POST", path: string, limit: number, handle: Handler): Route => ({
      method,
      path,
      limit,
      handle,
    });
    this.#routes = [
      route("POST", "/v1/transactions", MAX_CONCURRENT, (exchange) => this.#transact(exchange)),
      route("POST", "/v1/queries", MAX_CONCURRENT, (exchange) => this.#query(exchange)),
      route("POST", "/v1/subscriptions", MAX_CONCURRENT, (exchange) => this.#subscribe(exchange)),
      route("GET", "/v1/health", MAX_CONCURRENT_CHEAP, (exchange) => this.#health(exchange)),
    ];
  }

  /** Answers one request. Rejects only when the client is gone. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://store");
    const route = this.#routes.find(({ path }) => path === url.pathname);
    if (route === undefined || route.method !== request.method) {
      response.writeHead(route === undefined ? 404 : 405, route === undefined ? {} : { allow: route.method }).end();
      return;
    }
    const underWay = this.#underWay.get(route.path) ?? 0;
    if (underWay >= route.limit) {
      send(response, 503, "max concurrency limit reached", "text/plain; charset=utf-8");
      return;
    }
    this.#underWay.set(route.path, underWay + 1);
    try {
      await route.handle({ request, response, url });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      send(response, error.status, error.body, error.plain ? "text/plain; charset=utf-8" : "application/json");
    } finally {
      this.#underWay.set(route.path, (this.#underWay.get(route.path) ?? 1) - 1);
    }
  }

  async #transact({ request, response, url }: Exchange): Promise<void> {
    const seconds = readInteger(url, "timeout");
    const json = await readJson(request);
    if (!Array.isArray(json)) throw malformed(422, "Failed to deserialize the JSON body: expected a sequence");
    const statements = json.map(readStatement);
    const { actorId } = this.#database;
    const failed = (error: string) => ({ results: [{ error }], time: 0, version: null, actor_id: actorId });
    if (statements.length === 0) {
      throw new Refusal(400, JSON.stringify(failed("at least 1 statement is required")));
    }
    const started = performance.now();
    try {
      const { results, version, touched } = this.#database.transact(statements, this.#deadline(seconds));
      const body = {
        results: results.map(({ rowsAffected, seconds }) => ({ rows_affected: rowsAffected, time: seconds })),
        time: (performance.now() - started) / 1000,
        version,
        actor_id: actorId,
      };
      send(response, 200, JSON.stringify(body), "application/json");
      this.#subscriptions.tell(touched);
    } catch (error) {
      throw error instanceof SqlRefused ? new Refusal(500, JSON.stringify(failed(error.message))) : error;
    }
  }

  async #query({ request, response, url }: Exchange): Promise<void> {
    const seconds = readInteger(url, "timeout") ?? DEFAULT_QUERY_SECONDS;
    const statement = readStatement(await readJson(request));
    const { columns, rows } = refusing(() => this.#database.query(statement));
    response.writeHead(200).flushHeaders();
    const limit = this.#deadline(seconds === 0 ? undefined : seconds);
    const stream = new LineStream(response, { source: queryLines(columns, rows, limit) });
    stream.end();
  }

  /** Says whether that many seconds from now are over. */
  #deadline(seconds: number | undefined): () => boolean {
    if (seconds === undefined) return () => false;
    const endMs = this.#clock.monotonicMs() + seconds * 1000;
    return () => this.#clock.monotonicMs() > endMs;
  }

  async #subscribe({ request, response, url }: Exchange): Promise<void> {
    if (url.search !== "") throw sqlRefused(400, "only whole subscriptions are served here: no `from`, no `skip_rows`");
    const statement = readStatement(await readJson(request));
    refusing(() => this.#subscriptions.stream(statement, response));
  }

  async #health({ response }: Exchange): Promise<void> {
    // One store, which never lags behind itself.
    const body = { response: { gaps: 0, members: 1, p99_lag: 0, queue_size: 0 } };
    send(response, 200, JSON.stringify(body), "application/json");
  }
}

function send(response: ServerResponse, status: number, body: string, contentType: string): void {
  const bytes = Buffer.from(body, "utf8");
  response.writeHead(status, { "content-type": contentType, "content-length": bytes.length }).end(bytes);
}

/** SQL that is refused before anything of the answer is written. */
function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof SqlRefused ? sqlRefused(error.early ? 400 : 500, error.message) : error;
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type !== "application/json" && !/^application\/[^/]+\+json$/.test(type)) {
    throw malformed(415, "Expected request with `Content-Type: application/json`");
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw malformed(413, "the body is too large");
    chunks.push(chunk);
  }
  try {
    return parseExactJson(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch (error) {
    const why = messageOf(error);
    throw malformed(400, `Failed to parse the request body as JSON: ${why}`);
  }
}

function readStatement(json: unknown): DecodedStatement {
  const statement = decodeStatement(json);
  if (statement === undefined) {
    throw malformed(422, "Failed to deserialize the JSON body: data did not match any variant of Statement");
  }
  return statement;
}

function readInteger(url: URL, name: string): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null) return undefined;
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw malformed(400, `Failed to deserialize query string: ${name}: invalid digit found in string`);
}

function* queryLines(columns: readonly string[], rows: Iterator<string>, isOver: () => boolean): Generator<string> {
  try {
    yield JSON.stringify({ columns });
    let count = 0;
    for (let next = rows.next(); next.done !== true; next = rows.next()) {
      if (isOver()) throw new SqlRefused("interrupted");
      yield `{"row":[${++count},${next.value}]}`;
    }
    yield '{"eoq":{"time":0.0}}';
  } catch (error) {
    if (!(error instanceof SqlRefused)) throw error;
    yield JSON.stringify({ error: error.message });
  } finally {
    rows.return?.();
  }
}
