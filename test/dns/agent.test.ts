import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createConnection } from "node:net";
import { decode, encode, streamEncode, type DecodedPacket } from "dns-packet";
import { addresses, ask, cleanUp, cleanUps, container, setUp, until, web1, web2 } from "./dns-world.ts";
import { FakeAgent } from "./fake-agent.ts";
import { metric } from "./forwarding-world.ts";
import { OUTER_ADDRESS } from "../outer-address.ts";
import type { DnsServer } from "../../src/dns/server.ts";
import type { StoreUrl } from "../../src/store/store-url.ts";

afterEach(cleanUp);

const NOWHERE = "http://127.0.0.1:1" as StoreUrl;
const NAME = "shop-web.jiji";

const QUESTION = { type: "query" as const, id: 7, flags: 0x100, questions: [{ type: "A" as const, name: NAME }] };

/** Somebody with that address who asks over UDP. */
async function askerAt(address: string, server: DnsServer) {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  cleanUps.push(() => socket.close());
  const answers: DecodedPacket[] = [];
  socket.on("message", (packet) => answers.push(decode(packet)));
  return { answers, send: () => socket.send(encode(QUESTION), server.listening[0]!.port, "127.0.0.1") };
}

/** How many octets a TCP connection from that address gets for a question before it ends, or has got an answer. */
function overTcp(address: string, server: DnsServer): Promise<number> {
  const { port } = server.listening.find(({ protocol }) => protocol === "tcp")!;
  const socket = createConnection({ port, host: "127.0.0.1", localAddress: address });
  cleanUps.push(() => socket.destroy());
  return new Promise((resolve) => {
    socket.on("error", () => resolve(0));
    socket.on("close", () => resolve(0));
    socket.on("data", (data: Buffer) => resolve(data.length));
    socket.write(streamEncode(QUESTION));
  });
}

describe.if(OUTER_ADDRESS !== undefined)("who may ask from elsewhere than loopback", () => {
  const outer = OUTER_ADDRESS!;
  const strangers = (server: DnsServer) => metric(server, 'dropped_total{reason="stranger"}');

  async function isDropped(server: DnsServer): Promise<void> {
    const asker = await askerAt(outer, server);
    const before = await strangers(server);
    asker.send();
    while ((await strangers(server)) === before) await Bun.sleep(5);
    expect(asker.answers).toEqual([]);
    expect(await overTcp(outer, server)).toBe(0);
  }

  async function isAnswered(server: DnsServer, expected = "10.210.0.2"): Promise<void> {
    const asker = await askerAt(outer, server);
    asker.send();
    while (asker.answers.length === 0) await Bun.sleep(5);
    expect(addresses(asker.answers[0]!)).toEqual([expected]);
    expect(await overTcp(outer, server)).toBeGreaterThan(0);
  }

  // dns-contract: who-may-ask
  test.each(["packet thread", "event loop"] as const)("the cluster, whatever the agent says (%s)", async (loop) => {
    const [a, b] = outer.split(".");
    const { start, put } = await setUp(
      { clusterCidr: `${a}.${b}.0.0/16` as never },
      loop === "event loop" ? { loop } : {},
    );
    await put(web1, 0, container("web", `${a}.${b}.0.2`));
    const server = await start();
    await until(server, NAME, [`${a}.${b}.0.2`]);
    await isAnswered(server, `${a}.${b}.0.2`);
  });

  // dns-contract: who-may-ask
  test.each(["packet thread", "event loop"] as const)(
    "own engine networks, from when the agent names them until it names others, and after a start without it (%s)",
    async (loop) => {
      const agent = await FakeAgent.start();
      const { start, put } = await setUp({ agentSocket: agent.path }, loop === "event loop" ? { loop } : {});
      await put(web1, 0, container("web", "10.210.0.2"));
      const first = await start();
      await until(first, NAME, ["10.210.0.2"]);
      await isDropped(first);
      // The reachability that comes with it shows when the line has been read.
      agent.state({ networks: ["203.0.113.0/24", `${outer}/32`], unreachable: [web1.id] });
      await until(first, NAME, []);
      agent.state({ unreachable: [] });
      await until(first, NAME, ["10.210.0.2"]);
      await isAnswered(first);
      agent.state({ networks: ["203.0.113.0/24"], unreachable: [web1.id] });
      await until(first, NAME, []);
      await isDropped(first);
      agent.state({ networks: [`${outer}/32`], unreachable: [] });
      await until(first, NAME, ["10.210.0.2"]);
      await first.close();
      await agent.leave();
      await isAnswered(await start(NOWHERE));
    },
  );
});

// dns-contract: agent-away
test("an agent that stays connected and says nothing for three seconds is away: every server counts", async () => {
  const agent = await FakeAgent.start({ unreachable: [web2.id] });
  const { start, put } = await setUp({ agentSocket: agent.path });
  await put(web1, 0, container("web", "10.210.0.2"));
  await put(web2, 0, container("web", "10.210.1.2"));
  const server = await start();
  await until(server, NAME, ["10.210.0.2"]);
  expect(await metric(server, "agent_silent")).toBe(0);
  agent.say({ type: "tick" });
  const silentMs = performance.now();
  agent.mute();
  await until(server, NAME, ["10.210.0.2", "10.210.1.2"]);
  const tookMs = performance.now() - silentMs;
  expect(tookMs).toBeGreaterThan(2_500);
  expect(tookMs).toBeLessThan(4_000);
  expect(await metric(server, "agent_silent")).toBe(1);
  // It is asked again and again, and counts again when it speaks.
  while (agent.connections < 2) await Bun.sleep(5);
  agent.state({});
  await until(server, NAME, ["10.210.0.2"]);
  expect(await metric(server, "agent_silent")).toBe(0);
}, 20_000);

// dns-contract: local-first
test("with local_first, own containers come first as soon as the agent has said which server this is", async () => {
  const agent = await FakeAgent.start({ self: web2.id });
  const { start, put } = await setUp({ agentSocket: agent.path, self: null, localFirst: true });
  const own = ["10.210.1.2", "10.210.1.3"];
  const others = ["10.210.0.2", "10.210.0.3"];
  for (const [n, address] of others.entries()) await put(web1, n, container("web", address));
  for (const [n, address] of own.entries()) await put(web2, n, container("web", address));
  const first = await start();
  const inOrder = async (server: DnsServer) =>
    ((await ask(server, "A", NAME)).answers as { data: string }[]).map(({ data }) => data);
  await until(first, NAME, [...others, ...own]);
  const areFirst = async (server: DnsServer, expected: readonly string[]) => {
    for (let i = 0; i < 8; i++) expect((await inOrder(server)).slice(0, 2).toSorted()).toEqual([...expected]);
  };
  await areFirst(first, own);
  // It says otherwise, as after a key of another server was put here.
  agent.state({ self: web1.id });
  while (!others.includes((await inOrder(first))[0]!)) await Bun.sleep(5);
  await areFirst(first, others);
  await first.close();
  await agent.leave();
  await areFirst(await start(NOWHERE), others);
});
