import { afterEach, describe, expect, test } from "bun:test";
import { createConnection } from "node:net";
import { decode, encode, streamDecode, streamEncode } from "dns-packet";
import { addresses, ask, cleanUp, cleanUps, container, setUp, until, web1, web2 } from "./dns-world.ts";
import { FakeAgent } from "./fake-agent.ts";
import { HalfStore } from "./half-store.ts";
import { metric } from "./forwarding-world.ts";
import type { StoreUrl } from "../../src/store/store-url.ts";
import { askDns } from "../../src/dns/operation/control-client.ts";

afterEach(cleanUp);

const NOWHERE = "http://127.0.0.1:1" as StoreUrl;

describe("server", () => {
  // dns-contract: instance-address, nxdomain, server-names
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

  // dns-contract: packet-loops-alike
  test("serves as well where packets are read by the runtime's own sockets", async () => {
    const { start, put, settings } = await setUp({}, { loop: "event loop" });
    await put(web1, 0, container("web", "10.210.0.2"));
    const server = await start();
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    expect((await askDns(settings.controlSocket!, { type: "status" })).listening).toMatchObject([
      { loop: "event loop" },
      {},
    ]);
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

  // dns-contract: store-away
  test("keeps answering without the store, and after a restart without it", async () => {
    const { start, put, closeStore, settings, lines } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    const first = await start();
    await first.hasTable;
    await until(first, "shop-web.jiji", ["10.210.0.2"]);
    const status = async () => (await askDns(settings.controlSocket!, { type: "status" })).store;
    expect(await status()).toMatchObject({ connected: true, ageSeconds: 0 });
    expect(await metric(first, "store_connected")).toBe(1);
    expect(await metric(first, "store_age_seconds")).toBe(0);
    await closeStore();
    while ((await status()).connected) await Bun.sleep(5);
    expect(addresses(await ask(first, "A", "shop-web.jiji"))).toEqual(["10.210.0.2"]);
    expect(await metric(first, "store_connected")).toBe(0);
    while (!((await metric(first, "store_age_seconds")) > 0)) await Bun.sleep(50);
    expect((await status()).ageSeconds).toBeGreaterThan(0);
    expect((await status()).why).not.toBe("");
    expect(lines.filter((line) => line.includes("answering what was known last"))).toHaveLength(1);
    expect(addresses(await ask(first, "A", "shop-web.jiji"))).toEqual(["10.210.0.2"]);
    await first.close();
    const second = await start(NOWHERE);
    expect(addresses(await ask(second, "A", "shop-web.jiji"))).toEqual(["10.210.0.2"]);
    expect(await metric(second, "store_connected")).toBe(0);
    expect(await metric(second, "store_age_seconds")).toBe(-1);
  });

  // dns-contract: servfail-before-rows
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
    const server = await start(NOWHERE);
    expect(await ask(server, "A", "shop-web.jiji")).toMatchObject({ rcode: "SERVFAIL" });
    expect(await ask(server, "A", "Example.org")).toMatchObject({
      rcode: "NOERROR",
      flag_aa: false,
      questions: [{ name: "Example.org" }],
      answers: [{ data: "192.0.2.1" }],
    });
  });

  // dns-contract: servfail-before-rows
  test("a snapshot that is half in is never answered from: own names fail until it is whole", async () => {
    const store = await HalfStore.start([[web1.id, 0, container("web", "10.210.0.2")]]);
    const agent = await FakeAgent.start();
    const { start, settings } = await setUp({ agentSocket: agent.path });
    const server = await start(store.url);
    const status = () => askDns(settings.controlSocket!, { type: "status" });
    while ((await status()).rows === 0) await Bun.sleep(5);
    expect(await status()).toMatchObject({ source: "none", servers: 2, store: { connected: false } });
    const questions = [
      ["A", "shop-web.jiji"],
      ["TXT", "shop-web.jiji"],
      ["SRV", "_80._tcp.shop-web.jiji"],
      ["A", "shop-later.jiji"],
      ["A", "web2.server.jiji"],
      ["PTR", "2.0.210.10.in-addr.arpa"],
    ] as const;
    for (const [type, name] of questions) {
      expect(await ask(server, type, name)).toMatchObject({ rcode: "SERVFAIL", answers: [], authorities: [] });
    }
    store.finish();
    await server.hasTable;
    expect(addresses(await ask(server, "A", "shop-web.jiji"))).toEqual(["10.210.0.2"]);
    expect(await ask(server, "A", "shop-later.jiji")).toMatchObject({ rcode: "NXDOMAIN" });
  });

  // dns-contract: agent-away
  test("follows the agent: members, reachability, news, silence", async () => {
    const agent = await FakeAgent.start();
    const { start, put } = await setUp({ agentSocket: agent.path });
    await put(web1, 0, container("web", "10.210.0.2"));
    await put(web2, 0, container("web", "10.210.1.2"));
    const server = await start();
    await server.hasTable;
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.1.2"]);
    agent.state({ unreachable: [web2.id] });
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    agent.say({ type: "news", records: [{ serverId: web1.id, n: 5, record: container("web", "10.210.0.3") }] });
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.0.3"]);
    agent.state({ ready: false });
    await until(server, "shop-web.jiji", []);
    agent.mute();
    agent.cut();
    await until(server, "shop-web.jiji", ["10.210.0.2", "10.210.0.3", "10.210.1.2"]);
  });

  test("tells of itself on the control socket and in metrics", async () => {
    const { start, put, settings } = await setUp();
    await put(web1, 0, container("web", "10.210.0.2"));
    const server = await start();
    await server.hasTable;
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    expect(await askDns(settings.controlSocket!, { type: "names", filter: null })).toMatchObject({
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
    expect(await askDns(settings.controlSocket!, { type: "status" })).toMatchObject({
      source: "store",
      rows: 1,
      names: 1,
      servers: 2,
    });
    const { host, port } = server.metrics!;
    const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
    expect(text).toContain('jiji_dns_answers_total{rcode="NOERROR"}');
    expect(text).toContain("jiji_dns_rows 1");
  });
});
