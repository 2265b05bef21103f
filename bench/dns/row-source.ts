import { createServer, type ServerResponse } from "node:http";
import type { Sample } from "./sample.ts";

/**
 * Stands where the agent's relay of the store does: a socket that gives both subscriptions of jiji-dns, as Corrosion
 * gives them. It costs next to nothing while the servers are measured, and what it sends is there beforehand, so that the
 * time from a row to an answer is jiji-dns's alone.
 */
export interface RowSource {
  readonly path: string;
  /** Takes a container's row away, and tells the subscriber. */
  remove(container: number): void;
  /** Puts it back. */
  put(container: number): void;
  /** Breaks the subscriptions off; the subscriber comes back for a whole snapshot. */
  cut(): void;
  close(): Promise<void>;
}

const HEAD = { "content-type": "application/x-ndjson", "corro-query-id": "00000000-0000-4000-8000-000000000000" };

/** Serves the sample's rows at the path of a Unix socket. */
export async function startRowSource(sample: Sample, path: string): Promise<RowSource> {
  const containers = Buffer.from(
    `{"columns":["server_id","n","record"]}\n${sample.containers
      .map((_, index) => `{"row":[${index + 1},${sample.row(index, 1)}]}\n`)
      .join("")}{"eoq":{"time":0.1,"change_id":0}}\n`,
  );
  const servers = Buffer.from(
    `{"columns":["id","record","sig"]}\n${sample.servers
      .map(({ id, record, sig }, index) => `{"row":[${index + 1},${JSON.stringify([id, record, sig])}]}\n`)
      .join("")}{"eoq":{"time":0.1,"change_id":0}}\n`,
  );
  const followers = new Map<ServerResponse, number>();
  const gone = new Set<number>();
  let revision = 1;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      response.writeHead(200, HEAD);
      const isContainers = body.includes("FROM containers");
      response.write(isContainers ? containers : servers);
      if (!isContainers) return;
      followers.set(response, 0);
      response.on("close", () => followers.delete(response));
      for (const container of gone) tell(container, "delete", [response]);
    });
  });
  const tell = (container: number, change: "insert" | "delete", to: Iterable<ServerResponse>): void => {
    const values = sample.row(container, ++revision);
    for (const response of to) {
      const id = (followers.get(response) ?? 0) + 1;
      followers.set(response, id);
      response.write(`{"change":["${change}",${container + 1},${values},${id}]}\n`);
    }
  };
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    remove: (container) => {
      gone.add(container);
      tell(container, "delete", followers.keys());
    },
    put: (container) => {
      gone.delete(container);
      tell(container, "insert", followers.keys());
    },
    cut: () => {
      for (const response of followers.keys()) response.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
