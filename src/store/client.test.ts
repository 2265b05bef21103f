import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { Secret } from "../model/secret.ts";
import { openStoreClient } from "./client.ts";
import { formatStoreUrl } from "./store-url.ts";
import { StoreError, type StoreClient, type SubscriptionEvent } from "./store.ts";

const HEAD = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n";
const open: { readonly server: Server; readonly client: StoreClient; readonly sockets: Set<Socket> }[] = [];

afterEach(() => {
  for (const { server, client, sockets } of open.splice(0)) {
    client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

/** A server that says what it is told as soon as a request's first bytes have come. */
async function serve(
  answer: (socket: Socket, request: string) => void,
  options: { maxLineBytes?: number; token?: Secret } = {},
): Promise<StoreClient> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (bytes) => answer(socket, bytes.toString("utf8")));
  });
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  const client = openStoreClient({ url: formatStoreUrl({ kind: "tcp", host: "127.0.0.1", port }), ...options });
  open.push({ server, client, sockets });
  return client;
}

const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const lines = (...of: readonly string[]): string => chunk(of.map((line) => `${line}\n`).join(""));
const END = "0\r\n\r\n";

async function failure(work: Promise<unknown>): Promise<StoreError> {
  const error = await work.then(
    () => new Error("it did not fail"),
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

const query = (client: StoreClient) => client.query({ sql: "SELECT 1" });

describe("a query's answer", () => {
  test("is taken with its end mark only", async () => {
    const client = await serve((socket) =>
      socket.end(`${HEAD}\r\n${lines('{"columns":["a"]}', '{"row":[1,[1]]}')}${END}`),
    );
    expect((await failure(query(client))).message).toBe("the store's answer broke off");
  });

  test("that breaks off in the middle of a line is a failure", async () => {
    const client = await serve((socket) => {
      socket.write(`${HEAD}\r\n${lines('{"columns":["a"]}')}${chunk('{"row":[1,[')}`, () => socket.destroy());
    });
    await failure(query(client));
  });

  test("that ends in the middle of a line is one too", async () => {
    const client = await serve((socket) => socket.end(`${HEAD}\r\n${chunk('{"columns":["a"]}\n{"row":[1,[')}${END}`));
    expect((await failure(query(client))).message).toContain("not JSON");
  });

  test.each([
    ["nothing", ""],
    ["an error first", lines('{"error":"no such luck"}')],
    ["rows without columns", lines('{"row":[1,[1]]}')],
    ["another value", lines('"Error: words"')],
    ["an unknown line", lines('{"columns":[]}', '{"surprise":1}')],
    ["a row that is none", lines('{"columns":[]}', '{"row":[1]}')],
    ["an error last", lines('{"columns":[]}', '{"error":"no such luck"}')],
  ])("%s: a failure", async (what, body) => {
    const client = await serve((socket) => socket.end(`${HEAD}\r\n${body}${END}`));
    const { message } = await failure(query(client));
    if (what.includes("error")) expect(message).toBe("no such luck");
  });

  test("with a line beyond the limit is left", async () => {
    const client = await serve(
      (socket) => socket.write(`${HEAD}\r\n${lines('{"columns":["a"]}')}${chunk("x".repeat(2000))}`),
      { maxLineBytes: 1000 },
    );
    expect((await failure(query(client))).message).toContain("a line of more than");
  });
});

describe("a refusal", () => {
  test.each([
    [400, '{"error":"no such table: x"}'],
    [500, '"Error: words"'],
    [503, "max concurrency limit reached"],
  ])("%d keeps its status and its words", async (status, body) => {
    const client = await serve((socket) =>
      socket.end(`HTTP/1.1 ${status} X\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
    );
    const error = await failure(query(client));
    expect(error.status).toBe(status);
    expect(error.message).toContain(body);
  });

  test("without end is cut", async () => {
    const client = await serve((socket) => socket.write(`HTTP/1.1 500 X\r\n\r\n${"x".repeat(100_000)}`));
    const error = await failure(query(client));
    expect(error.message.length).toBeLessThan(70_000);
  });

  test("by nobody listening is a StoreError without a status", async () => {
    const client = openStoreClient({ url: formatStoreUrl({ kind: "unix", path: "/nonexistent/socket" }) });
    const error = await failure(query(client));
    expect(error.status).toBeUndefined();
    expect(error.message).toContain("/nonexistent/socket");
  });
});

test("a transaction's answer of another shape is a failure", async () => {
  const answers = ['{"results":[]}', "[]", "x", '{"results":[{"error":"e"}],"version":1}', '{"results":[null]}'];
  for (const body of answers) {
    const client = await serve((socket) =>
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
    );
    await failure(client.transact([{ sql: "x" }]));
  }
});

test("what is sent: the token as bearer, JSON with its type, and no more than one request per socket", async () => {
  let seen = "";
  const answer = `${HEAD}\r\n${lines('{"columns":[]}', '{"eoq":{"time":0}}')}${END}`;
  const client = await serve(
    (socket, request) => {
      seen = request;
      socket.end(answer);
    },
    { token: new Secret("T") },
  );
  await client.query({ sql: "SELECT 'ö'", params: [1] }, { timeoutSeconds: 7 });
  expect(seen).toStartWith("POST /v1/queries?timeout=7 HTTP/1.1\r\n");
  expect(seen.toLowerCase()).toContain("\r\ncontent-type: application/json\r\n");
  expect(seen).toMatch(/\r\nauthorization: bearer t\r\n/i);
  expect(seen).toEndWith(`\r\n\r\n["SELECT 'ö'",[1]]`);
});

describe("a subscription", () => {
  const collect = async (client: StoreClient): Promise<readonly SubscriptionEvent[]> => {
    const events: SubscriptionEvent[] = [];
    for await (const event of await client.subscribe({ sql: "SELECT 1" })) events.push(event);
    return events;
  };

  test("has its head at once, and ends without an error however it ends", async () => {
    const ends: ((socket: Socket) => void)[] = [
      (socket) => socket.end(END),
      (socket) => socket.destroy(),
      (socket) => socket.write(chunk('{"chan'), () => socket.destroy()),
    ];
    for (const end of ends) {
      let started: (socket: Socket) => void = () => {};
      const asked = new Promise<Socket>((resolve) => (started = resolve));
      const client = await serve((socket) => {
        socket.write(`${HEAD}corro-query-id: the-id\r\n\r\n`);
        started(socket);
      });
      const subscription = await client.subscribe({ sql: "SELECT 1" });
      expect(subscription.id).toBe("the-id");
      const socket = await asked;
      socket.write(lines('{"eoq":{"time":0,"change_id":5}}', '{"change":["delete",1,[null],3]}'), () => end(socket));
      const events: SubscriptionEvent[] = [];
      for await (const event of subscription) events.push(event);
      expect(events).toEqual([
        { type: "ready", changeId: 5 },
        { type: "change", change: "delete", rowId: 1, values: [null], changeId: 3 },
      ]);
    }
  });

  test("throws what the store says, and what cannot be read", async () => {
    for (const line of [
      '{"error":"exceeded events buffer"}',
      '{"change":["upsert",1,[],1]}',
      '{"change":[]}',
      "{",
      "1",
    ]) {
      const client = await serve((socket) => socket.end(`${HEAD}\r\n${lines(line)}${END}`));
      await failure(collect(client));
    }
  });

  test("ends when it is closed, cancelled, or its client is closed, and lets go of its socket", async () => {
    for (const how of ["close", "signal", "client"] as const) {
      let closed = Promise.resolve();
      const client = await serve((socket) => {
        closed = new Promise((resolve) => socket.once("close", () => resolve()));
        socket.write(`${HEAD}\r\n`);
      });
      const controller = new AbortController();
      const subscription = await client.subscribe({ sql: "SELECT 1" }, { signal: controller.signal });
      const events: SubscriptionEvent[] = [];
      const reading = (async () => {
        for await (const event of subscription) events.push(event);
      })();
      if (how === "close") subscription.close();
      else if (how === "signal") controller.abort();
      else client.close();
      await reading;
      await closed;
      expect(events).toEqual([]);
    }
  });

  test("a slow reader slows the sender down", async () => {
    let sent = 0;
    const line = lines(`{"row":[1,["${"x".repeat(60_000)}"]]}`);
    const client = await serve((socket) => {
      socket.write(`${HEAD}\r\n`);
      const more = (): void => {
        while (sent < 2000 && !socket.destroyed) {
          sent += 1;
          if (!socket.write(line)) {
            socket.once("drain", more);
            return;
          }
        }
      };
      more();
    });
    const subscription = await client.subscribe({ sql: "SELECT 1" });
    const iterator = subscription[Symbol.asyncIterator]();
    for (let count = 0; count < 10; count++) await iterator.next();
    // Until the sender has been waiting for a while: it cannot send all 120 MB.
    for (let before = -1; before !== sent;) {
      before = sent;
      await Bun.sleep(50);
    }
    expect(sent).toBeLessThan(1000);
    subscription.close();
  });
});

test("a closed client refuses", async () => {
  const client = await serve((socket) => socket.end());
  client.close();
  await failure(query(client));
});
