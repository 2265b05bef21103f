import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { Secret } from "../../src/model/secret.ts";
import { openStoreClient } from "../../src/store/client.ts";
import { storeAddress } from "../../src/store/store-url.ts";
import { StoreError } from "../../src/store/store.ts";
import { corrosionBinaries } from "../corrosion.ts";
import { IMPLEMENTATIONS, sendRaw, TOKEN, type RawRequest, type StoreUnderTest } from "./store-under-test.ts";

const ROUTES: readonly (RawRequest & { readonly path: string })[] = [
  { path: "/v1/transactions", body: "[\"DELETE FROM notes WHERE id = ''\"]" },
  { path: "/v1/queries", body: '"SELECT 1"' },
  { path: "/v1/subscriptions", body: '"SELECT id, body FROM notes"', untilLines: 1 },
];

if (corrosionBinaries().length === 0) {
  test.skip("the contract with real Corrosion: none here (set CORROSION_BIN, or let npm test install it)", () => {});
}

describe.each(IMPLEMENTATIONS)("http: $name", ({ start }) => {
  let store: StoreUnderTest;

  beforeAll(async () => {
    store = await start();
  });
  afterAll(() => store.close());

  test.each(ROUTES)("$path wants the token", async (route) => {
    expect((await sendRaw(store.url, route)).status).toBeOneOf([200, 404]);
    for (const token of [null, "x", `${TOKEN.reveal()}x`, TOKEN.reveal().slice(1)]) {
      const answer = await sendRaw(store.url, { ...route, token });
      expect({ status: answer.status, body: answer.body }).toEqual({ status: 401, body: "" });
    }
  });

  test("a client with a wrong token says so, and says nothing of the token", async () => {
    const client = openStoreClient({ url: store.url, token: new Secret("not-the-right-one") });
    const error = await client.query({ sql: "SELECT 1" }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ name: "StoreError", status: 401 });
    expect(Bun.inspect(error)).not.toContain("not-the-right-one");
  });

  test.each([
    ["another content type", { body: "[]", headers: { "content-type": "text/plain" } }, 415],
    ["what is not JSON", { body: "nonsense" }, 400],
    ["a body of another shape", { body: '{"a":1}' }, 422],
    ["an object as a value", { body: '[["SELECT ?", [{"a":1}]]]' }, 422],
    ["a number that is no byte in a BLOB", { body: '[["SELECT ?", [[300]]]]' }, 422],
  ])("refuses %s in plain words", async (_what, message, status) => {
    const answer = await sendRaw(store.url, { path: "/v1/transactions", ...message });
    expect(answer.status).toBe(status);
    expect(answer.headers["content-type"]).toStartWith("text/plain");
    expect(answer.body).not.toBe("");
  });

  test("refuses a malformed query string, unknown paths and other methods", async () => {
    const status = async (message: RawRequest) => (await sendRaw(store.url, message)).status;
    expect(await status({ path: "/v1/queries?timeout=x", body: '"SELECT 1"' })).toBe(400);
    expect(await status({ path: "/v1/subscriptions?skip_rows=x", body: '"SELECT id, body FROM notes"' })).toBe(400);
    expect(await status({ path: "/v1/nothing", body: "[]" })).toBe(404);
    expect(await status({ method: "GET", path: "/v1/transactions" })).toBe(405);
  });

  test("more than 128 requests of a route that have no answer yet are refused, and no others", async () => {
    const sockets: Socket[] = [];
    try {
      const heads = Array.from({ length: 140 }, () => halfARequest(store, sockets));
      const first = await Promise.race(heads);
      expect(first).toContain(" 503 ");
      expect((await sendRaw(store.url, { path: "/v1/transactions", body: "[]" })).status).toBe(400);
      const refused = await openStoreClient({ url: store.url, token: TOKEN })
        .query({ sql: "SELECT 1" })
        .catch((cause: unknown) => cause);
      expect(refused).toBeInstanceOf(StoreError);
      expect(refused).toMatchObject({ status: 503 });
      expect((refused as StoreError).message).toContain("max concurrency limit reached");
    } finally {
      for (const socket of sockets) socket.destroy();
    }
    const client = openStoreClient({ url: store.url, token: TOKEN });
    for (let answered = false; !answered;) {
      answered = await client.query({ sql: "SELECT 1" }).then(
        () => true,
        () => false,
      );
    }
  });
});

/** Sends the head of a query and half of its body; resolves with the head of an answer, if one comes. */
function halfARequest(store: StoreUnderTest, sockets: Socket[]): Promise<string> {
  const address = storeAddress(store.url);
  if (address.kind === "unix") throw new Error("not over TCP");
  const head = [
    "POST /v1/queries HTTP/1.1",
    "host: store",
    `authorization: Bearer ${TOKEN.reveal()}`,
    "content-type: application/json",
    "content-length: 20",
  ];
  return new Promise((resolve) => {
    const socket = connect(address.port, address.host, () => socket.write(`${head.join("\r\n")}\r\n\r\n"SELECT`));
    socket.once("data", (bytes) => resolve(bytes.toString("latin1")));
    socket.on("error", () => {});
    sockets.push(socket);
  });
}
