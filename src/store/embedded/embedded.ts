import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Secret } from "../../model/secret.ts";
import type { Clock } from "../../system/host.ts";
import { EmbeddedDatabase } from "./embedded-database.ts";
import { EmbeddedRoutes } from "./embedded-routes.ts";
import { EmbeddedSubscriptions, type Faults } from "./embedded-subscriptions.ts";
import { SCHEMA } from "../schema.ts";
import { formatStoreUrl, type StoreUrl } from "../store-url.ts";

/** Where and with what an embedded store runs. */
export interface EmbeddedStoreOptions {
  /** port 0 takes a free one; see the url that comes back */
  readonly listen: { readonly host: string; readonly port: number };
  /** made if missing, with the schema's tables; the store keeps it for itself, others may read it */
  readonly databasePath: string;
  /** every request must bear it; absent: none is asked for */
  readonly token?: Secret | undefined;
  readonly clock: Clock;
  readonly faults?: Faults | undefined;
  /** default: the product's tables */
  readonly schema?: string;
}

export interface EmbeddedStore {
  readonly url: StoreUrl;
  /** Ends all streams. */
  close(): Promise<void>;
}

/**
 * Starts a store that speaks as much of Corrosion's HTTP API as jiji's clients use (`/v1/transactions`, `queries`,
 * `subscriptions` from the start, `health`) over one SQLite file of this machine. It does not replicate: it serves tests
 * and trials. Transactions take only statements that change rows (no schema, PRAGMA or ATTACH), queries only those that
 * look, and subscriptions one table. Time limits count between rows and between statements: one that computes for long
 * before its first row holds up the store. Rejects when it cannot listen or the file cannot be used.
 */
export async function startEmbeddedStore(options: EmbeddedStoreOptions): Promise<EmbeddedStore> {
  const database = new EmbeddedDatabase(options.databasePath, options.schema ?? SCHEMA);
  const subscriptions = new EmbeddedSubscriptions(database, options.faults);
  options.faults?.attach(subscriptions);
  const routes = new EmbeddedRoutes(database, subscriptions, options.clock);
  const server = createServer((request, response) => {
    void answer(request, response, options, routes);
  });
  // Streams are silent for as long as nothing changes.
  server.timeout = 0;
  try {
    const url = await listen(server, options.listen);
    return { url, close: () => close(server, subscriptions, database) };
  } catch (error) {
    await close(server, subscriptions, database);
    throw error;
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: EmbeddedStoreOptions,
  routes: EmbeddedRoutes,
): Promise<void> {
  response.on("error", () => {});
  try {
    if (options.token !== undefined && !bears(request, options.token)) {
      response.writeHead(401, { "content-length": 0 }).end();
    } else if (options.faults?.refuseWith !== undefined) {
      response.writeHead(options.faults.refuseWith, { "content-length": 0 }).end();
    } else {
      await routes.answer(request, response);
    }
  } catch {
    // Only a client that went away in the middle of its request gets here.
    response.destroy();
  }
}

/** Compares hashes, so that the time says nothing about the token. */
function bears(request: IncomingMessage, token: Secret): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(request.headers.authorization ?? ""), hash(`Bearer ${token.reveal()}`));
}

async function listen(server: Server, where: EmbeddedStoreOptions["listen"]): Promise<StoreUrl> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", resolve);
    server.listen(where);
  });
  const { port } = server.address() as AddressInfo;
  return formatStoreUrl({ kind: "tcp", host: where.host, port });
}

async function close(server: Server, subscriptions: EmbeddedSubscriptions, database: EmbeddedDatabase): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  subscriptions.endStreams();
  server.closeIdleConnections();
  // Whoever has not taken its last bytes by then loses them.
  const timer = setTimeout(() => server.closeAllConnections(), 500);
  await closed;
  clearTimeout(timer);
  database.close();
}
