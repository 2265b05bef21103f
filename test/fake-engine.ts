import { createServer, type Server, type ServerResponse } from "node:http";
import { rmSync } from "node:fs";
import type { Socket } from "node:net";

/** A container of the fake engine; what is left out has a harmless value. */
export interface FakeContainer {
  readonly id: string;
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly imageId?: string;
  readonly networks?: Readonly<Record<string, string>>;
  readonly state?: string;
  readonly health?: string;
  readonly ports?: readonly string[];
  readonly startedAt?: string;
}

/**
 * The part of Docker's HTTP API that jiji reads, on a unix socket, in the words that real engines were seen to use; contract
 * tests hold it to them. It can go away and come back, hold answers back, and answer nonsense.
 */
export class FakeEngine {
  readonly socketPath: string;
  readonly containers = new Map<string, FakeContainer>();
  readonly images = new Map<string, Readonly<Record<string, string>>>([["sha256:1", {}]]);
  /** path of every request that came, without its query */
  readonly requests: string[] = [];
  /** answers instead of the engine's own, by path */
  readonly overrides = new Map<string, { readonly status: number; readonly body: string }>();
  readonly #streams = new Set<ServerResponse>();
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  async start(): Promise<void> {
    rmSync(this.socketPath, { force: true });
    const server = createServer((request, response) => {
      this.#answer(new URL(request.url ?? "/", "http://engine"), response);
    });
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.socketPath, resolve));
  }

  /** Ends every connection, as an engine that is stopped or upgraded does. Its containers stay. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    this.#streams.clear();
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
    rmSync(this.socketPath, { force: true });
  }

  /** How many event streams are open. */
  get listeners(): number {
    return this.#streams.size;
  }

  /** Puts a container there or changes it, and says so. */
  put(container: FakeContainer, action = "start", attributes: Readonly<Record<string, string>> = {}): void {
    this.containers.set(container.id, { ...this.containers.get(container.id), ...container });
    this.emit({ Type: "container", Action: action, Actor: { ID: container.id, Attributes: attributes } });
  }

  remove(id: string): void {
    this.containers.delete(id);
    this.emit({ Type: "container", Action: "destroy", Actor: { ID: id, Attributes: {} } });
  }

  emit(event: unknown): void {
    for (const stream of this.#streams) stream.write(`${JSON.stringify(event)}\n`);
  }

  #answer(url: URL, response: ServerResponse): void {
    this.requests.push(url.pathname);
    const override = this.overrides.get(url.pathname);
    if (override !== undefined) {
      response.writeHead(override.status).end(override.body);
      return;
    }
    if (url.pathname === "/events") {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      this.#streams.add(response);
      response.on("close", () => this.#streams.delete(response));
      return;
    }
    const body = this.#body(url.pathname);
    response
      .writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" })
      .end(JSON.stringify(body ?? { message: "no such thing" }));
  }

  #body(path: string): unknown {
    if (path === "/version") return { Version: "28.5.2", ApiVersion: "1.51" };
    if (path === "/networks") {
      return [
        { Name: "jiji", Driver: "bridge", IPAM: { Config: [{ Subnet: "10.210.3.0/24", Gateway: "10.210.3.1" }] } },
        { Name: "bridge", Driver: "bridge", IPAM: { Config: [{ Subnet: "172.17.0.0/16" }, { Subnet: "fd00::/64" }] } },
        { Name: "lan", Driver: "macvlan", IPAM: { Config: [{ Subnet: "192.168.0.0/24" }] } },
        { Name: "host", Driver: "host", IPAM: { Config: null } },
      ];
    }
    if (path === "/containers/json") return [...this.containers.values()].map((container) => listed(container));
    const inspect = /^\/containers\/([^/]+)\/json$/.exec(path)?.[1];
    const container = inspect === undefined ? undefined : this.containers.get(inspect);
    if (container !== undefined) return inspected(container);
    const image = /^\/images\/([^/]+)\/json$/.exec(path)?.[1];
    const labels = image === undefined ? undefined : this.images.get(decodeURIComponent(image));
    return labels === undefined ? undefined : { Id: image, Config: { Labels: labels } };
  }
}

function networksOf(container: FakeContainer): Record<string, { IPAddress: string }> {
  const networks = container.networks ?? { jiji: "10.210.3.2" };
  return Object.fromEntries(Object.entries(networks).map(([name, IPAddress]) => [name, { IPAddress }]));
}

function listed(container: FakeContainer): unknown {
  return {
    Id: container.id,
    Names: [`/${container.name ?? "web-1"}`],
    Labels: container.labels ?? {},
    State: container.state ?? "running",
    NetworkSettings: { Networks: networksOf(container) },
  };
}

function inspected(container: FakeContainer): unknown {
  return {
    Id: container.id,
    Name: `/${container.name ?? "web-1"}`,
    Image: container.imageId ?? "sha256:1",
    State: {
      Status: container.state ?? "running",
      StartedAt: container.startedAt ?? "2026-11-23T04:00:00.123456789Z",
      ...(container.health === undefined ? {} : { Health: { Status: container.health } }),
    },
    Config: {
      Image: "nginx:1.27",
      Labels: container.labels ?? { "jiji.project": "shop", "jiji.service": "web" },
      ExposedPorts: Object.fromEntries((container.ports ?? []).map((port) => [port, {}])),
    },
    NetworkSettings: { Networks: networksOf(container), Ports: {} },
  };
}
