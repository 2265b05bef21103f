import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Secret } from "../../src/model/secret.ts";
import { startEmbeddedStore } from "../../src/store/embedded/embedded.ts";
import { SCHEMA } from "../../src/store/schema.ts";
import { storeAddress, type StoreUrl } from "../../src/store/store-url.ts";
import type { Subscription, SubscriptionEvent } from "../../src/store/store.ts";
import { systemClock } from "../../src/system/clock.ts";
import { corrosionBinaries, startCorrosion } from "../corrosion.ts";

/** The product's tables, and one with columns of no type for values of every kind. */
const TEST_SCHEMA = `${SCHEMA}
CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, body, amount INTEGER);
`;

export const TOKEN = new Secret("a-token-of-this-test");

/** A store that runs. */
export interface StoreUnderTest {
  readonly url: StoreUrl;
  /** its database file */
  readonly path: string;
  /** Stops it in good order; only `restart` and `close` are left then. */
  stop(): Promise<void>;
  /** Stops it in good order and starts it on the same files; the url may change. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Every implementation of the contract that this machine can run. */
export const IMPLEMENTATIONS: readonly { readonly name: string; readonly start: () => Promise<StoreUnderTest> }[] = [
  { name: "embedded store", start: startEmbedded },
  ...corrosionBinaries().map((binary) => ({ name: corrosionName(binary), start: () => startReal(binary) })),
];

function corrosionName(binary: string): string {
  return `Corrosion ${basename(dirname(dirname(binary)))}`;
}

async function startEmbedded(): Promise<StoreUnderTest> {
  return await startStore(async (folder) => {
    const running = await startEmbeddedStore({
      listen: { host: "127.0.0.1", port: 0 },
      databasePath: join(folder, "state.db"),
      token: TOKEN,
      clock: systemClock,
      schema: TEST_SCHEMA,
    });
    return { url: running.url, stop: () => running.close(), kill: () => running.close() };
  });
}

async function startReal(binary: string): Promise<StoreUnderTest> {
  return await startStore((folder) => startCorrosion({ binary, folder, schema: TEST_SCHEMA, token: TOKEN }));
}

interface RunningStore {
  readonly url: StoreUrl;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

/** A store in a folder of its own, which it leaves with `close`. */
async function startStore(start: (folder: string) => Promise<RunningStore>): Promise<StoreUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), "jiji-store-"));
  let running = await start(folder);
  const halt = new Once();
  return {
    path: join(folder, "state.db"),
    get url() {
      return running.url;
    },
    stop: () => halt.once(() => running.stop()),
    restart: async () => {
      await halt.once(() => running.stop());
      running = await start(folder);
      halt.reset();
    },
    close: async () => {
      await halt.once(() => running.kill());
      await rm(folder, { recursive: true });
    },
  };
}

/** Does a thing unless it was done already. */
class Once {
  #isDone = false;

  async once(work: () => Promise<void>): Promise<void> {
    if (this.#isDone) return;
    this.#isDone = true;
    await work();
  }

  reset(): void {
    this.#isDone = false;
  }
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface RawRequest {
  readonly method?: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string | null;
  /** ends an endless answer as soon as its body has this many lines */
  readonly untilLines?: number;
}

/** A request as the client would never send it; the answer's body as it came, whole or as many lines as asked for. */
export function sendRaw(url: StoreUrl, message: RawRequest): Promise<RawAnswer> {
  const address = storeAddress(url);
  const target = address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };
  const token = message.token === undefined ? TOKEN.reveal() : message.token;
  const headers = {
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    ...(message.body === undefined ? {} : { "content-type": "application/json" }),
    ...message.headers,
  };
  return new Promise((resolve, reject) => {
    const method = message.method ?? "POST";
    const sent = request({ ...target, method, path: message.path, headers, agent: false }, (response) => {
      let body = "";
      const done = (): void => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        response.destroy();
      };
      const isEnough = (): boolean => message.untilLines !== undefined && body.split("\n").length > message.untilLines;
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
        if (response.statusCode === 200 && isEnough()) done();
      });
      response.on("end", done);
      response.on("error", reject);
      if (response.statusCode === 200 && isEnough()) done();
    });
    sent.on("error", reject);
    sent.end(message.body);
  });
}

/** The next events of a subscription, one by one; a wait that is too long fails the test by its own time-out. */
export function eventsOf(subscription: Subscription): {
  next(): Promise<SubscriptionEvent | undefined>;
  /** everything up to and including the end of the snapshot */
  snapshot(): Promise<readonly SubscriptionEvent[]>;
} {
  const iterator = subscription[Symbol.asyncIterator]();
  const next = async (): Promise<SubscriptionEvent | undefined> => {
    const result = await iterator.next();
    return result.done === true ? undefined : result.value;
  };
  return {
    next,
    snapshot: async () => {
      const events: SubscriptionEvent[] = [];
      for (;;) {
        const event = await next();
        if (event === undefined) throw new Error("the subscription ended in its snapshot");
        events.push(event);
        if (event.type === "ready") return events;
      }
    },
  };
}
