import { afterEach, describe, expect, test } from "bun:test";
import { decode, encode } from "dns-packet";
import { parseCidr, type Cidr } from "../../model/cluster.ts";
import { startEventLoop } from "./event-loop.ts";
import type { PacketLoop, PacketLoopOptions } from "./packet-loop.ts";
import { RECORD, allocateTable } from "../zone/table.ts";
import { TableWriter } from "../zone/table-writer.ts";
import { encodeName } from "../wire/wire.ts";
import { startWorkerLoop } from "./worker-loop.ts";

const SEED = 12345;
const CLUSTER = { first: 0x0ad20000, prefix: 16 };
const WORKER = new URL("../../bin/dns-worker.ts", import.meta.url);

const kinds = {
  "event loop": (options: PacketLoopOptions) => startEventLoop(options),
  ...(process.platform === "linux" && { worker: (options: PacketLoopOptions) => startWorkerLoop(options, WORKER) }),
};

function table(addresses: readonly number[]): SharedArrayBuffer {
  const buffer = allocateTable({
    names: 10,
    arenaBytes: 4096,
    ttlSeconds: 60,
    negativeTtlSeconds: 5,
    reverseAddresses: 65_280,
  });
  const writer = new TableWriter(buffer, SEED);
  writer.put(encodeName("shop-web.jiji")!, RECORD.NAME, addresses, 0);
  return buffer;
}

/** A client's socket that takes one answer at a time. */
async function client(port: number) {
  const waiting: ((packet: Buffer) => void)[] = [];
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    connect: { hostname: "127.0.0.1", port },
    socket: { data: (_socket, packet) => waiting.shift()?.(packet) },
  });
  return {
    ask: (packet: Uint8Array): Promise<Buffer> =>
      new Promise((resolve) => {
        waiting.push(resolve);
        socket.send(packet);
      }),
    send: (packet: Uint8Array) => void socket.send(packet),
    close: () => socket.close(),
  };
}

const question = (name: string, id = 1) =>
  encode({ type: "query", id, flags: 0x100, questions: [{ type: "A", name, class: "IN" }] });

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close();
});

describe.each(Object.keys(kinds) as (keyof typeof kinds)[])("%s", (kind) => {
  async function start(onQuestion: PacketLoopOptions["onQuestion"] = () => {}): Promise<PacketLoop> {
    const problems: string[] = [];
    const loop = await (kinds[kind] as (options: PacketLoopOptions) => Promise<PacketLoop>)({
      socket: { address: 0x7f000001, port: 0 },
      seed: SEED,
      cluster: CLUSTER,
      table: undefined,
      networks: [],
      onQuestion,
      onProblem: (text) => problems.push(text),
    });
    open.push(loop);
    return loop;
  }

  test("answers from the table it was given last", async () => {
    const loop = await start();
    const asker = await client(loop.port);
    open.push(asker);
    expect(decode(await asker.ask(question("shop-web.jiji")))).toMatchObject({ rcode: "SERVFAIL" });
    loop.useTable(table([0x0ad20002]));
    expect(decode(await asker.ask(question("Shop-Web.JIJI", 7)))).toMatchObject({
      id: 7,
      rcode: "NOERROR",
      questions: [{ name: "Shop-Web.JIJI" }],
      answers: [{ name: "Shop-Web.JIJI", type: "A", ttl: 60, data: "10.210.0.2" }],
    });
    loop.useTable(table([0x0ad20003, 0x0ad20004]));
    expect(decode(await asker.ask(question("shop-web.jiji"))).answers).toHaveLength(2);
    expect(decode(await asker.ask(question("shop-api.jiji")))).toMatchObject({
      rcode: "NXDOMAIN",
      authorities: [{ type: "SOA", name: "jiji" }],
    });
    expect(loop.counters.get("questionsA")).toBe(4);
    expect(loop.counters.get("answersNoerror")).toBe(2);
  });

  test("hands over what is not ours, and sends what comes back", async () => {
    const loop = await start((packet, peer) => {
      const answer = decode(Buffer.from(packet));
      loop.reply(
        encode({ ...answer, type: "response", answers: [{ type: "A", name: "example.org", data: "192.0.2.1" }] }),
        peer,
      );
    });
    const asker = await client(loop.port);
    open.push(asker);
    for (let id = 1; id <= 300; id++) {
      const answer = decode(await asker.ask(question("example.org", id)));
      expect(answer.id).toBe(id);
      expect(answer.answers).toMatchObject([{ data: "192.0.2.1" }]);
    }
    expect(loop.counters.get("handedOver")).toBe(300);
  });

  test("says nothing to strangers, nor to what is no question", async () => {
    const loop = await start();
    loop.useTable(table([0x0ad20002]));
    loop.allow([parseCidr("10.0.0.0/8") as Cidr]);
    const asker = await client(loop.port);
    open.push(asker);
    asker.send(Uint8Array.of(1, 2, 3));
    asker.send(encode({ type: "response", id: 3, questions: [{ type: "A", name: "shop-web.jiji" }] }));
    const answer = await asker.ask(question("shop-web.jiji", 9));
    expect(decode(answer).id).toBe(9);
    expect(loop.counters.get("droppedNoQuestion")).toBe(2);
  });

  test("closes at once, idle or not", async () => {
    const loop = await start();
    const before = performance.now();
    await loop.close();
    expect(performance.now() - before).toBeLessThan(500);
    open.length = 0;
  });
});

test.if(process.platform === "linux")(
  "a packet thread that ends is started again, and no question is lost",
  async () => {
    const problems: string[] = [];
    const loop: PacketLoop = await startWorkerLoop(
      {
        socket: { address: 0x7f000001, port: 0 },
        seed: SEED,
        cluster: CLUSTER,
        table: table([0x0ad20002]),
        networks: [],
        onQuestion: (packet, peer) => loop.reply(packet, peer),
        onProblem: (text) => problems.push(text),
      },
      new URL("../../../test/dns/dying-dns-worker.ts", import.meta.url),
    );
    open.push(loop);
    const asker = await client(loop.port);
    open.push(asker);
    // Asked while nobody reads.
    expect(decode(await asker.ask(question("shop-web.jiji", 3)))).toMatchObject({
      id: 3,
      answers: [{ data: "10.210.0.2" }],
    });
    // The thread that ended had announced one already, and nobody was told.
    expect(decode(await asker.ask(question("example.org", 4)))).toMatchObject({ id: 4 });
    expect(problems).toEqual(["the packet thread ended; starting it again"]);
  },
);
