import { afterEach, describe, expect, test } from "bun:test";
import { decode, encode, type Packet } from "dns-packet";
import { corpusOf, mutated } from "../../../test/fuzz/mutate.ts";
import { SeededRandom } from "../../../test/fuzz/random.ts";
import { OUTER_ADDRESS } from "../../../test/outer-address.ts";
import { parseCidr, type Cidr } from "../../model/cluster.ts";
import { COUNTERS } from "../telemetry/counters.ts";
import { startMainThreadLoop } from "./main-thread-loop.ts";
import type { PacketLoop, PacketLoopOptions } from "./packet-loop.ts";
import { ASK_ZONE, FORWARD, Responder } from "./responder.ts";
import { RECORD, TableReader, allocateTable } from "../zone/table.ts";
import { TableWriter } from "../zone/table-writer.ts";
import { encodeName } from "../wire/wire.ts";
import { startWorkerLoop } from "./worker-loop.ts";

const SEED = 12345;
const CLUSTER = { first: 0x0ad20000, prefix: 16 };
const WORKER = new URL("../../bin/dns-worker.ts", import.meta.url);

const kinds = {
  "event loop": (options: PacketLoopOptions) => startMainThreadLoop(options),
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

/** A table of twenty services with an address each, one with 200, the apex, and a PTR; nobody writes to it. */
const largeTable = ((): SharedArrayBuffer => {
  const buffer = allocateTable({
    names: 40,
    arenaBytes: 8192,
    ttlSeconds: 60,
    negativeTtlSeconds: 5,
    reverseAddresses: 65_280,
  });
  const writer = new TableWriter(buffer, SEED);
  writer.put(encodeName("jiji")!, RECORD.APEX, [], 0);
  const many = Array.from({ length: 200 }, (_, i) => 0x0ad20102 + i);
  writer.put(encodeName("shop-many.jiji")!, RECORD.NAME, many, 0);
  for (let i = 0; i < 20; i++) writer.put(encodeName(`shop-s${i}.jiji`)!, RECORD.NAME, [0x0ad20002 + i], 0);
  writer.setReverse(2, encodeName("shop-s0.jiji"));
  return buffer;
})();

/** A client's socket that keeps every answer. */
async function listener(port: number, host = "127.0.0.1") {
  const received: Buffer[] = [];
  let onAnswer = (): void => {};
  const socket = await Bun.udpSocket({
    hostname: host,
    connect: { hostname: host, port },
    binaryType: "buffer",
    socket: {
      data: (_socket, packet) => {
        received.push(Buffer.from(packet));
        onAnswer();
      },
    },
  });
  return {
    received,
    send: (packet: Uint8Array) => expect(socket.send(packet)).toBe(true),
    until: async (isOver: () => boolean): Promise<void> => {
      while (!isOver()) await new Promise<void>((resolve) => (onAnswer = resolve));
    },
    close: () => socket.close(),
  };
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

const question = (name: string, id = 1, more: Packet = {}) =>
  encode({ type: "query", id, flags: 0x100, questions: [{ type: "A", name, class: "IN" }], ...more });

const opt = (udpPayloadSize: number, more: object = {}): Packet => ({
  additionals: [{ type: "OPT", name: ".", udpPayloadSize, flags: 0, ...more } as never],
});

/** What was counted, without how it was batched. */
function countsOf({ counters }: PacketLoop): Record<string, number> {
  const packets = COUNTERS.filter((name) => !["batches", "sampledBatches", "sampledMs"].includes(name));
  return Object.fromEntries(packets.map((name) => [name, counters.get(name)]).filter(([, count]) => count !== 0));
}

function sumOf(counts: Readonly<Record<string, number>>, start: string): number {
  return Object.entries(counts).reduce((sum, [name, count]) => sum + (name.startsWith(start) ? count : 0), 0);
}

/** Packets that were dealt with in some way. */
function countedPackets(loop: PacketLoop): number {
  const counts = countsOf(loop);
  return sumOf(counts, "answers") + sumOf(counts, "handedOver") + sumOf(counts, "dropped");
}

/** Waits for what another thread does. */
async function untilCounted(isOver: () => boolean): Promise<void> {
  while (!isOver()) await Bun.sleep(1);
}

/** An answer as a text: what it answers, and what it says. */
function describeAnswer(answer: Buffer): string {
  const { id, questions, rcode, answers } = decode(answer) as ReturnType<typeof decode> & { rcode: string };
  const data = (answers as { data?: unknown }[]).map((one) => String(one.data));
  return [id, questions?.[0]?.name ?? "-", rcode, ...data].join(" ");
}

/** 200 packets of five sorts in turn, what has to be answered and handed over, and how that is counted. */
function burst() {
  const packets: Uint8Array[] = [];
  const answers: string[] = [];
  const forwards: string[] = [];
  for (let i = 0; i < 200; i++) {
    const id = 1000 + i;
    const sort = i % 5;
    if (i % 50 === 49) {
      // longer than is read, whatever it asks
      packets.push(Buffer.concat([question("shop-s1.jiji", id), Buffer.alloc(2048)]));
    } else if (sort < 2) {
      packets.push(question(`Shop-S${i % 20}.jiji`, id));
      answers.push(`${id} Shop-S${i % 20}.jiji NOERROR 10.210.0.${2 + (i % 20)}`);
    } else if (sort === 2) {
      packets.push(question(`nobody${i}.jiji`, id));
      answers.push(`${id} nobody${i}.jiji NXDOMAIN`);
    } else if (sort === 3) {
      packets.push(question(`n${i}.example.org`, id));
      forwards.push(`${id} n${i}.example.org`);
    } else if (i % 2 === 0) {
      packets.push(question("shop-s1.jiji", id).subarray(0, -1));
      answers.push(`${id} - FORMERR`);
    } else {
      packets.push(question("shop-s1.jiji", id).subarray(0, 11));
    }
  }
  const malformed = answers.filter((text) => text.endsWith("FORMERR")).length;
  const long = 4;
  return {
    packets,
    answers,
    forwards,
    counts: {
      questionsA: answers.length - malformed + forwards.length,
      questionsOther: malformed,
      answersNoerror: answers.filter((text) => text.includes("NOERROR")).length,
      answersNxdomain: answers.filter((text) => text.includes("NXDOMAIN")).length,
      answersFormerr: malformed,
      handedOver: forwards.length,
      droppedNoQuestion: packets.length - answers.length - forwards.length - long,
      droppedTooLong: long,
    },
  };
}

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close();
});

describe.each(Object.keys(kinds) as (keyof typeof kinds)[])("%s", (kind) => {
  async function start(
    onQuestion: PacketLoopOptions["onQuestion"] = () => {},
    address = 0x7f000001,
  ): Promise<PacketLoop> {
    const problems: string[] = [];
    const loop = await (kinds[kind] as (options: PacketLoopOptions) => Promise<PacketLoop>)({
      socket: { address, port: 0 },
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
    const loop = await start((packet, client) => {
      const answer = decode(Buffer.from(packet));
      loop.reply(
        encode({ ...answer, type: "response", answers: [{ type: "A", name: "example.org", data: "192.0.2.1" }] }),
        client,
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

  test("says nothing to what is no question, and answers loopback whatever networks may ask", async () => {
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

  // dns-contract: strangers-udp
  test.if(OUTER_ADDRESS !== undefined)(
    "says nothing to strangers, counts them, and answers who may ask now",
    async () => {
      const handedOver: number[] = [];
      const loop = await start((packet) => handedOver.push(packet.length), 0);
      loop.useTable(largeTable);
      const asker = await listener(loop.port, OUTER_ADDRESS);
      open.push(asker);
      asker.send(question("shop-s1.jiji", 1));
      asker.send(question("example.org", 2));
      asker.send(Uint8Array.of(1, 2, 3));
      await untilCounted(() => loop.counters.get("droppedStranger") === 3);
      loop.allow([parseCidr(`${OUTER_ADDRESS}/32`) as Cidr]);
      asker.send(question("shop-s1.jiji", 4));
      await asker.until(() => asker.received.length > 0);
      expect(asker.received.map((answer) => decode(answer).id)).toEqual([4]);
      expect(handedOver).toEqual([]);
      expect(countsOf(loop)).toEqual({ droppedStranger: 3, questionsA: 1, answersNoerror: 1 });
    },
  );

  // dns-contract: packet-loops-alike
  test.each([
    [undefined, 512],
    [600, 600],
    [1232, 1232],
    [4096, 1232],
  ])("with a payload of %p the answer has at most %d octets, TC, and OPT if it was asked with", async (size, most) => {
    const loop = await start();
    loop.useTable(largeTable);
    const asker = await client(loop.port);
    open.push(asker);
    const more = size === undefined ? {} : opt(size, { flags: 0x8000 });
    const answer = await asker.ask(question("Shop-Many.jiji", 9, more));
    const decoded = decode(answer);
    expect(answer.length).toBeLessThanOrEqual(most);
    expect(answer.length).toBeGreaterThan(most - 16);
    expect(decoded).toMatchObject({ id: 9, flag_tc: true, flag_aa: true, questions: [{ name: "Shop-Many.jiji" }] });
    expect(decoded.additionals).toMatchObject(
      size === undefined ? [] : [{ type: "OPT", udpPayloadSize: 1232, ednsVersion: 0, flag_do: true }],
    );
    const badVersion = decode(await asker.ask(question("shop-s1.jiji", 10, opt(1232, { ednsVersion: 1 }))));
    expect(badVersion).toMatchObject({ id: 10, answers: [], additionals: [{ ednsVersion: 0, extendedRcode: 1 }] });
    expect(countsOf(loop)).toEqual({ questionsA: 2, answersNoerror: 1, answersBadvers: 1 });
  });

  // dns-contract: packet-loops-alike
  test("does with 600 mutated packets, octet for octet, what the responder alone does", async () => {
    const handedOver: Buffer[] = [];
    const loop = await start((packet) => handedOver.push(Buffer.from(packet)));
    const shared = largeTable;
    loop.useTable(shared);
    const responder = new Responder(SEED, CLUSTER);
    responder.use(new TableReader(shared));
    const asker = await listener(loop.port);
    open.push(asker);
    const names = ["shop-many.jiji", "Shop-S1.jiji", "nobody.jiji", "jiji", "_80._tcp.shop-s1.jiji", "example.org"];
    const corpus = corpusOf([...names, "2.0.210.10.in-addr.arpa", "9.0.210.10.in-addr.arpa", "0.210.10.in-addr.arpa"]);
    const random = new SeededRandom(20_260_101);
    const expected = { answers: [] as Buffer[], handedOver: [] as Buffer[], dropped: 0 };
    const bytes = new Uint8Array(4096);
    const alone = (packet: Uint8Array): void => {
      bytes.set(packet);
      const answered = responder.answer(new DataView(bytes.buffer), 0, packet.length, false);
      if (answered > 0) expected.answers.push(Buffer.from(bytes.slice(0, answered)));
      else if (answered === FORWARD || answered === ASK_ZONE) expected.handedOver.push(Buffer.from(packet));
      else expected.dropped++;
    };
    for (let i = 0; i < 600; i++) {
      const packet = Uint8Array.from(mutated(corpus, random));
      // A valid question behind each few of them says that all before it are done.
      for (const one of i % 20 === 19 ? [packet, question("shop-s2.jiji", i)] : [packet]) {
        if (one.length === 0) continue;
        asker.send(one);
        alone(one);
      }
      if (i % 20 === 19) await asker.until(() => asker.received.length >= expected.answers.length);
    }
    await untilCounted(() => handedOver.length >= expected.handedOver.length);
    expect(asker.received).toEqual(expected.answers);
    expect(handedOver).toEqual(expected.handedOver);
    const counts = countsOf(loop);
    expect(counts["droppedNoQuestion"]).toBe(expected.dropped);
    expect(counts["handedOver"]).toBe(expected.handedOver.length);
    expect(sumOf(counts, "answers")).toBe(expected.answers.length);
    expect(sumOf(counts, "questions")).toBe(expected.answers.length + expected.handedOver.length);
    expect(Math.min(expected.answers.length, expected.handedOver.length, expected.dropped)).toBeGreaterThan(20);
  });

  // dns-contract: packet-loops-alike
  test("of 200 packets that come at once each gets its own answer, and all are counted", async () => {
    const handedOver: string[] = [];
    const loop = await start((packet) => {
      const { id, questions } = decode(Buffer.from(packet));
      handedOver.push(`${id} ${questions![0]!.name}`);
    });
    loop.useTable(largeTable);
    const asker = await listener(loop.port);
    open.push(asker);
    const { packets, answers, forwards, counts } = burst();
    for (const packet of packets) asker.send(packet);
    await asker.until(() => asker.received.length >= answers.length);
    await untilCounted(() => handedOver.length >= forwards.length && countedPackets(loop) === packets.length);
    expect(asker.received.map(describeAnswer).toSorted()).toEqual(answers.toSorted());
    expect(handedOver).toEqual(forwards);
    expect(countsOf(loop)).toEqual(counts);
  });

  test("closes at once, idle or not", async () => {
    const loop = await start();
    const before = performance.now();
    await loop.close();
    expect(performance.now() - before).toBeLessThan(500);
    open.length = 0;
  });
});

// dns-contract: thread-restart
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
        onQuestion: (packet, client) => loop.reply(packet, client),
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
