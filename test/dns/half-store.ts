import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { cleanUps } from "./dns-world.ts";
import type { StoreUrl } from "../../src/store/store-url.ts";

/** A store whose snapshots of `containers` stop before their end, until it is told to go on. It ends with the test. */
export class HalfStore {
  readonly url: StoreUrl;
  readonly #rows: readonly string[];
  readonly #open = new Set<ServerResponse>();

  private constructor(url: StoreUrl, rows: readonly string[]) {
    this.url = url;
    this.#rows = rows;
  }

  /** @param rows owner, number and record of each row that is said before it stops */
  static async start(rows: readonly (readonly [string, number, string])[]): Promise<HalfStore> {
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(200, { "corro-query-id": crypto.randomUUID() });
      for (const line of store.#lines()) response.write(`${line}\n`);
      store.#open.add(response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanUps.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const store: HalfStore = new HalfStore(
      `http://127.0.0.1:${port}` as StoreUrl,
      rows.map((values, index) => JSON.stringify({ row: [index + 1, values] })),
    );
    return store;
  }

  /** The snapshots that have stopped are whole now. */
  finish(): void {
    for (const response of this.#open) response.write(`${JSON.stringify({ eoq: { time: 0, change_id: 0 } })}\n`);
  }

  #lines(): readonly string[] {
    return [JSON.stringify({ columns: ["server_id", "n", "record"] }), ...this.#rows];
  }
}
