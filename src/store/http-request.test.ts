import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sendRequest } from "./http-request.ts";
import type { StoreAddress } from "./store-url.ts";

test("an answer may take longer than a connection, over TCP and over a socket file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "jiji-http-"));
  const path = join(folder, "s");
  for (const listen of [{ path }, { host: "127.0.0.1", port: 0 }]) {
    const server = createServer((socket) => {
      socket.once("data", () => setTimeout(() => socket.end("HTTP/1.1 204 No Content\r\n\r\n"), 150));
    });
    await new Promise<void>((resolve) => {
      server.listen(listen, () => resolve());
    });
    const { port } = server.address() as AddressInfo;
    const address: StoreAddress = "path" in listen ? { kind: "unix", path } : { kind: "tcp", host: "127.0.0.1", port };
    const message = { method: "GET", path: "/", headTimeoutMs: 5000, connectTimeoutMs: 50 } as const;
    expect((await sendRequest(address, message)).status).toBe(204);
    server.close();
  }
  rmSync(folder, { recursive: true });
});
