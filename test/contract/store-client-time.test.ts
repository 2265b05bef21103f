import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type AddressInfo, type Server } from "node:net";
import { openStoreClient } from "../../src/store/client.ts";
import { formatStoreUrl } from "../../src/store/store-url.ts";
import { StoreError } from "../../src/store/store.ts";

/** These take seconds, so they stand apart from the client's unit tests. */
let silent: Server;
let endless: Server;

const listen = (server: Server) =>
  new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve());
  });

beforeAll(async () => {
  silent = createServer(() => {});
  endless = createServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n12\r\n{"columns":["a"]}\n\r\n');
  });
  await Promise.all([listen(silent), listen(endless)]);
});

afterAll(() => {
  silent.close();
  endless.close();
});

function askFor(server: Server, seconds: number): Promise<unknown> {
  const { port } = server.address() as AddressInfo;
  const client = openStoreClient({ url: formatStoreUrl({ kind: "tcp", host: "127.0.0.1", port }) });
  return client.query({ sql: "SELECT 1" }, { timeoutSeconds: seconds }).catch((cause: unknown) => cause);
}

test.concurrent("an answer that never comes is given up after its time", async () => {
  const error = await askFor(silent, 1);
  expect(error).toBeInstanceOf(StoreError);
  expect((error as StoreError).message).toContain("gave no answer in");
});

test.concurrent("so is one that never ends", async () => {
  const error = await askFor(endless, 1);
  expect(error).toBeInstanceOf(StoreError);
  expect((error as StoreError).message).toBe("the store's answer had no end after 1 s");
});
