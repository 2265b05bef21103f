import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, encode, streamDecode, streamEncode } from "dns-packet";
import { addresses, ask, cleanUp, cleanUps, container, setUp, until, web1, web2 } from "./dns-world.ts";
import type { StoreUrl } from "../../src/store/store-url.ts";
import { askNames, askStatus } from "../../src/dns/operation/control-client.ts";

afterEach(cleanUp);

describe("server", () => {
  test("follows the store: containers come, change, and go", async () => {
    const { start, put, client } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    await put(web2, 0, container("web", "10.210.1.2", { instance: "b" as never }));
    await put(web2, 1, container("sick", "10.210.1.3", { state: "unhealthy" }));
    await put(web2, 2, container("liar", "10.210.0.9"));
    await put(web2, 3, "");
    const server = await start();
    await server.hasTable;
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.1.2"]);
    expect(addresses(await ask(server, "A", "shop-web-b.jiji"))).toEqual(["10.210.1.2"]);
    expect(await ask(server, "A", "shop-sick.jiji")).toMatchObject({
      rcode: "NOERROR",
      answers: [],
      authorities: [{ type: "SOA" }],
    });
    expect(await ask(server, "A", "shop-liar.jiji")).toMatchObject({ rcode: "NXDOMAIN" });
    expect(addresses(await ask(server, "A", "web2.server.jiji"))).toEqual(["10.210.1.1"]);
    expect(await ask(server, "PTR", "2.1.210.10.in-addr.arpa")).toMatchObject({
      answers: [{ data: "shop-web-b.jiji" }],
    });
    expect(await ask(server, "PTR", "1.0.210.10.in-addr.arpa")).toMatchObject({
      answers: [{ data: "web1.server.jiji" }],
    });
    expect(await ask(server, "SRV", "_80._tcp.shop-web.jiji")).toMatchObject({
      answers: [{ data: { port: 80, target: "shop-web.jiji" } }, { data: { port: 80, target: "shop-web-b.jiji" } }],
      additionals: [{ data: "10.210.0.2" }, { data: "10.210.1.2" }],
    });
    expect(await ask(server, "A", "_tcp.shop-web.jiji")).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect(await ask(server, "A", "_81._tcp.shop-web.jiji")).toMatchObject({ rcode: "NXDOMAIN" });
    expect((await ask(server, "TXT", "shop-web-b.jiji")).answers).toHaveLength(1);

    await put(web2, 0, container("web", "10.210.1.2", { state: "stopped" }));
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    await client.transact([{ sql: "DELETE FROM containers WHERE server_id = ?", params: [web1.id] }]);
    await until(server, "shop-web.jiji", []);
  });

  test("serves as well where packets are read by the runtime's own sockets", async () => {
    const { start, put, settings } = await setUp({}, { loop: "event loop" });
    await put(web1, 0, container("web", "10.210.0.2"));
    const server = await start();
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    expect((await askStatus(settings.controlSocket!)).listening).toMatchObject([{ loop: "event loop" }, {}]);
    expect(await ask(server, "A", "nobody.jiji")).toMatchObject({ rcode: "NXDOMAIN" });
    expect((await ask(server, "TXT", "shop-web.jiji")).answers).toHaveLength(1);
    await put(web1, 0, container("web", "10.210.0.9"));
    await until(server, "shop-web.jiji", ["10.210.0.9"]);
  });

  test("answers over TCP, several questions on one connection", async () => {
    const { start, put } = await setUp();
    for (let n = 0; n < 120; n++) await put(web1, n, container("many", `10.210.0.${n + 2}`));
    const server = await start();
    await server.hasTable;
    const short = await ask(server, "A", "shop-many.jiji");
    expect(short.flag_tc).toBe(true);
    const tcp = server.listening.find(({ protocol }) => protocol === "tcp")!;
    const socket = createConnection(tcp.port, "127.0.0.1");
    const question = (id: number) =>
      streamEncode({ type: "query", id, questions: [{ type: "A", name: "shop-many.jiji" }] });
    socket.write(Buffer.concat([question(1), question(2), question(3)]));
    const ids: number[] = [];
    let received: Buffer = Buffer.alloc(0);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const answer = streamDecode(received);
        ids.push(answer.id!);
        expect(answer.answers).toHaveLength(120);
        received = received.subarray(2 + received.readUInt16BE(0));
      }
      if (ids.length === 3) break;
    }
    expect(ids).toEqual([1, 2, 3]);
  });

  test("keeps answering without the store, and after a restart without it", async () => {
    const { start, put, closeStore } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    const first = await start();
    await first.hasTable;
    await until(first, "shop-web.jiji", ["10.210.0.2"]);
    await closeStore();
    await until(first, "shop-web.jiji", ["10.210.0.2"]);
    await first.close();
    const second = await start("http://127.0.0.1:1" as StoreUrl);
    expect(addresses(await ask(second, "A", "shop-web.jiji"))).toEqual(["10.210.0.2"]);
  });

  test("without store and saved table, own names fail and others are forwarded", async () => {
    const upstream = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data: (socket, packet, port, host) => {
          const asked = decode(packet);
          socket.send(
            encode({
              ...asked,
              type: "response",
              additionals: [],
              answers: [{ type: "A", name: asked.questions![0]!.name, data: "192.0.2.1", ttl: 9 }],
            }),
            port,
            host,
          );
        },
      },
    });
    cleanUps.push(() => upstream.close());
    const { start } = await setUp({ upstreams: [`127.0.0.1:${upstream.port}` as never] });
    const server = await start("http://127.0.0.1:1" as StoreUrl);
    expect(await ask(server, "A", "shop-web.jiji")).toMatchObject({ rcode: "SERVFAIL" });
    expect(await ask(server, "A", "Example.org")).toMatchObject({
      rcode: "NOERROR",
      flag_aa: false,
      questions: [{ name: "Example.org" }],
      answers: [{ data: "192.0.2.1" }],
    });
  });

  test("follows the agent: members, reachability, news, silence", async () => {
    const folder = await mkdtemp(join(tmpdir(), "jiji-agent-"));
    const path = join(folder, "agent.sock");
    cleanUps.push(() => rm(folder, { recursive: true, force: true }));
    const sockets: Socket[] = [];
    const state = (more = {}) =>
      `${JSON.stringify({ type: "state", self: web1.id, networks: [], servers: [web1, web2].map(({ id, name, subnet }) => ({ id, name, subnet })), unreachable: [], ready: true, ...more })}\n`;
    let hello = state();
    const agent = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined);
      socket.write(hello);
    });
    await new Promise<void>((resolve) => agent.listen(path, resolve));
    cleanUps.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => agent.close(() => resolve()));
    });
    const { start, put } = await setUp({ agentSocket: path });
    await put(web1, 0, container("web", "10.210.0.2"));
    await put(web2, 0, container("web", "10.210.1.2"));
    const server = await start();
    await server.hasTable;
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.1.2"]);
    const say = (text: string) => sockets.at(-1)!.write(text);
    say(state({ unreachable: [web2.id] }));
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    say(
      `${JSON.stringify({ type: "news", records: [{ serverId: web1.id, n: 5, record: container("web", "10.210.0.3") }] })}\n`,
    );
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.0.3"]);
    say(state({ ready: false, unreachable: [web2.id] }));
    await until(server, "shop-web.jiji", []);
    hello = "";
    sockets.at(-1)!.destroy();
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.0.3", "10.210.1.2"]);
  });

  test("tells of itself on the control socket and in metrics", async () => {
    const { start, put, settings } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    const server = await start();
    await server.hasTable;
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    expect(await askNames(settings.controlSocket!, null)).toMatchObject({
      server: "web1",
      source: "store",
      names: [
        {
          name: "shop-web.jiji",
          kind: "service",
          records: [{ address: "10.210.0.2", server: "web1", answered: true }],
        },
      ],
    });
    expect(await askStatus(settings.controlSocket!)).toMatchObject({ source: "store", rows: 1, names: 1, servers: 2 });
    const { host, port } = server.metrics!;
    const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
    expect(text).toContain('jiji_dns_answers_total{rcode="NOERROR"}');
    expect(text).toContain("jiji_dns_rows 1");
  });
});
