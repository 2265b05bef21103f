import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type AddressInfo, type Server } from "node:net";
import { openStoreClient } from "./client.ts";
import { formatStoreUrl } from "./store-url.ts";
import { StoreError, type StoreClient } from "./store.ts";

/**
 * Where the official Corrosion 1.0.0 and the fork klukai 0.1.4 answer differently, to the client it is the same thing; and
 * what has differed between releases may do so again. test/contract asks the programs that this machine has.
 */
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A store that gives this answer, byte by byte, to whatever it is asked. */
async function recorded(status: string, body: string, head = ""): Promise<StoreClient> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.end(`HTTP/1.1 ${status}\r\n${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  return openStoreClient({ url: formatStoreUrl({ kind: "tcp", host: "127.0.0.1", port }) });
}

async function failureOf(work: Promise<unknown>): Promise<StoreError> {
  const error = await work.catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}

const STATEMENT = { sql: "SELECT id FROM nowhere" };

describe("a subscription to a table that is not there", () => {
  test.each([
    ["official 1.0.0", "400 Bad Request", '{"error":"table not found in schema: nowhere"}', "nowhere"],
    ["klukai 0.1.4", "500 Internal Server Error", '"Error: table not found in schema: nowhere"', "nowhere"],
    [
      "official 1.0.0, from without a subscription",
      "400 Bad Request",
      '{"error":"a `from` query param was supplied, but no existing subscription found"}',
      "`from`",
    ],
    [
      "klukai 0.1.4, from without a subscription",
      "500 Internal Server Error",
      '"Error: a `from` query param was supplied, but no existing subscription found"',
      "`from`",
    ],
  ])("%s: an error with the store's words", async (_release, status, body, words) => {
    const error = await failureOf((await recorded(status, body)).subscribe(STATEMENT));
    expect(error.status).toBe(Number(status.slice(0, 3)));
    expect(error.message).toContain(words);
  });
});

describe("a query's errors before its head", () => {
  test.each([
    ["as both say it", '{"error":"rusqlite: no such table: nowhere in SELECT id FROM nowhere at offset 15"}'],
    ["without the library's name", '{"error":"no such table: nowhere"}'],
    ["a bare string", '"Error: no such table: nowhere"'],
  ])("%s", async (_release, body) => {
    const error = await failureOf((await recorded("400 Bad Request", body)).query(STATEMENT));
    expect(error).toMatchObject({ status: 400 });
    expect(error.message).toContain("no such table: nowhere");
  });
});

describe("a transaction", () => {
  test.each([
    [
      "an actor's id with dashes",
      '{"results":[{"rows_affected":1,"time":0.000021}],"time":0.00031,"version":12,"actor_id":"0f3b1d5c-6a0e-4a54-9d2b-7f1c0c6f4d11"}',
    ],
    [
      "one without, as in both",
      '{"results":[{"rows_affected":1,"time":0.000021}],"time":0.00031,"version":12,"actor_id":"0f3b1d5c6a0e4a549d2b7f1c0c6f4d11"}',
    ],
  ])("%s: taken", async (_release, body) => {
    const client = await recorded("200 OK", body, "content-type: application/json\r\n");
    expect(await client.transact([STATEMENT])).toEqual({ results: [{ rowsAffected: 1 }], version: 12 });
  });

  test.each([
    ["a time that is whole", '{"results":[{"rows_affected":0,"time":0}],"time":0,"version":null}'],
    ["no actor", '{"results":[{"rows_affected":0,"time":1.0e-6}],"time":0.0,"version":null}'],
  ])("that changed nothing, with %s", async (_what, body) => {
    const client = await recorded("200 OK", body);
    expect((await client.transact([STATEMENT])).version).toBeNull();
  });

  test.each([
    ["the error alone", '{"results":[{"error":"UNIQUE constraint failed: notes.id"}],"time":0.0,"version":null}'],
    [
      "with the library's name",
      '{"results":[{"error":"rusqlite: UNIQUE constraint failed: notes.id"}],"time":0.0,"version":null}',
    ],
  ])("%s: refused with its words", async (_release, body) => {
    const error = await failureOf((await recorded("500 Internal Server Error", body)).transact([STATEMENT]));
    expect(error).toMatchObject({ status: 500 });
    expect(error.message).toContain("UNIQUE constraint failed: notes.id");
  });
});

test("no token, in both: 401 without a body", async () => {
  const error = await failureOf((await recorded("401 Unauthorized", "")).query(STATEMENT));
  expect(error).toMatchObject({ status: 401 });
});
