import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { createConnection } from "node:net";
import { encode, streamDecode, streamEncode, type Packet } from "dns-packet";
import { ask, cleanUp, cleanUps, container, until, web1 } from "./dns-world.ts";
import { addressOf, FakeResolver } from "../fake-resolver.ts";
import { metric, world } from "./forwarding-world.ts";
import type { DnsServer } from "../../src/dns/server.ts";

afterEach(cleanUp);

const OPT = { type: "OPT", name: ".", udpPayloadSize: 1232, flags: 0 } as never;
const OPT_DO = { type: "OPT", name: ".", udpPayloadSize: 1232, flags: 0x8000 } as never;

/** Asks over TCP. */
async function askTcp(server: DnsServer, name: string, more = {}) {
  const { port } = server.listening.find(({ protocol }) => protocol === "tcp")!;
  const socket = createConnection(port, "127.0.0.1");
  cleanUps.push(() => socket.destroy());
  socket.write(streamEncode({ type: "query", id: 3, flags: 0x100, questions: [{ type: "A", name }], ...more }));
  let received = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) break;
  }
  return streamDecode(received);
}

describe("forwarding", () => {
  // dns-contract: header-flags, cache-ttl
  test("an answer is told again for as long as its TTL says, by UDP and TCP, and then asked for again", async () => {
    const { server, upstream } = await world();
    // With AA, as one says that has the zone itself.
    upstream.onQuestion = (asked) => asked.answer({ flags: 0x580, answers: [addressOf(asked, "192.0.2.1", 2)] });
    for (let i = 0; i < 5; i++) {
      expect(await ask(server, "A", "Example.org")).toMatchObject({
        rcode: "NOERROR",
        flag_aa: false,
        flag_ra: true,
        questions: [{ name: "Example.org" }],
        answers: [{ data: "192.0.2.1" }],
      });
    }
    expect(await askTcp(server, "example.ORG")).toMatchObject({ flag_aa: false, answers: [{ data: "192.0.2.1" }] });
    expect(upstream.asked).toHaveLength(1);
    expect(await metric(server, "cache_hits_total")).toBe(5);
    while (upstream.asked.length < 2) {
      await ask(server, "A", "example.org");
      await Bun.sleep(100);
    }
  });

  // dns-contract: edns-opt
  test("OPT is answered with OPT, and nobody else gets one, in what is forwarded, kept, truncated, failed or from the zone", async () => {
    const { server, upstream, put } = await world();
    await put(web1, 0, container("web", "10.210.0.2"));
    await until(server, "shop-web.jiji", ["10.210.0.2"]);
    upstream.onQuestion = (asked) => {
      const { name } = asked.packet.questions![0]!;
      // A resolver's own OPT is of its hop (RFC 6891 §6.1.1).
      const additionals = [{ ...(OPT as object), udpPayloadSize: 4000, ednsVersion: 0 }] as never;
      if (name === "failing.example") asked.answer({ flags: 0x182, additionals });
      else if (name === "large.example" && asked.protocol === "udp") asked.answer({ flags: 0x380, additionals });
      else {
        const count = name === "large.example" ? 120 : 1;
        const answers = Array.from({ length: count }, (_, i) => addressOf(asked, `192.0.2.${i}`));
        asked.answer({ answers, additionals });
      }
    };
    const kinds = [
      ["A", "other.example", { rcode: "NOERROR", flag_aa: false }],
      ["A", "failing.example", { rcode: "SERVFAIL", flag_aa: false }],
      ["A", "large.example", { flag_tc: true, answers: [], flag_aa: false }],
      ["SRV", "_80._tcp.shop-web.jiji", { rcode: "NOERROR", flag_aa: true }],
      ["TXT", "shop-web.jiji", { rcode: "NOERROR", flag_aa: true }],
      ["SRV", "_81._tcp.shop-web.jiji", { rcode: "NXDOMAIN", flag_aa: true }],
    ] as const;
    const optsOf = ({ additionals = [] }: Packet) => additionals.filter(({ type }) => type === "OPT");
    const opt = (isDo: boolean) => [
      { type: "OPT", name: ".", udpPayloadSize: 1232, ednsVersion: 0, extendedRcode: 0, flag_do: isDo, options: [] },
    ];
    for (let round = 0; round < 2; round++) {
      for (const [type, name, expected] of kinds) {
        const plain = await ask(server, type, name);
        expect(plain).toMatchObject(expected);
        expect(optsOf(plain)).toEqual([]);
        for (const [given, isDo] of [
          [OPT, false],
          [OPT_DO, true],
        ] as const) {
          const answer = await ask(server, type, name, { additionals: [given] });
          expect(answer).toMatchObject(expected);
          expect(optsOf(answer)).toMatchObject(opt(isDo));
        }
      }
      expect(optsOf(await askTcp(server, "large.example"))).toEqual([]);
      expect(optsOf(await askTcp(server, "large.example", { additionals: [OPT_DO] }))).toMatchObject(opt(true));
    }
    expect(await metric(server, "cache_hits_total")).toBeGreaterThan(0);
  });

  test("DO and CD are asked for apart; AD is told only to those who ask for it", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = (asked) => asked.answer({ flags: 0x1a0, answers: [addressOf(asked, "192.0.2.1")] });
    const asks = [
      { additionals: [OPT] },
      { additionals: [OPT_DO] },
      { flags: 0x110, additionals: [OPT] },
      { flags: 0x120 },
    ];
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(asks.map((more) => ask(server, "A", "signed.example", more)));
      expect(answers.map(({ flag_ad }) => flag_ad)).toEqual([false, true, false, true]);
      expect(answers.map(({ flag_cd }) => flag_cd)).toEqual([false, false, true, false]);
    }
    expect(upstream.asked).toHaveLength(3);
    expect(upstream.asked.filter(({ packet }) => packet.flag_cd)).toHaveLength(1);
  });

  test("many clients with one id each get their own answer", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = (asked) => {
      const n = Number(/^n(\d+)/.exec(asked.packet.questions![0]!.name)![1]);
      setTimeout(() => asked.answer({ answers: [addressOf(asked, `192.0.2.${n}`)] }), (n * 7) % 40);
    };
    const names = Array.from({ length: 120 }, (_, n) => n);
    const answers = await Promise.all(names.map((n) => ask(server, "A", `n${n}.example`)));
    expect(answers.map((answer) => (answer.answers as { data: string }[])[0]!.data)).toEqual(
      names.map((n) => `192.0.2.${n}`),
    );
  });

  // dns-contract: forwarded-tc
  test("an answer that does not fit is truncated over UDP and whole over TCP, kept or not", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = (asked) => {
      const all = Array.from({ length: 60 }, (_, i) => addressOf(asked, `192.0.2.${i}`));
      if (asked.protocol === "udp") asked.answer({ flags: 0x380 });
      else asked.answer({ answers: all });
    };
    for (let round = 0; round < 2; round++) {
      expect(await ask(server, "A", "large.example")).toMatchObject({ flag_tc: true, answers: [] });
      expect((await askTcp(server, "large.example")).answers).toHaveLength(60);
    }
    expect(upstream.asked.map(({ protocol }) => protocol)).toEqual(["udp", "tcp"]);
  });

  test("a truncated answer whose resolver has no TCP is passed on with TC, by UDP and TCP", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = (asked) => {
      if (asked.protocol === "udp") asked.answer({ flags: 0x380, answers: [addressOf(asked, "192.0.2.7")] });
      else asked.send(Buffer.from("x"));
    };
    const truncated = { rcode: "NOERROR", flag_tc: true, answers: [{ data: "192.0.2.7" }] };
    expect(await ask(server, "A", "cut.example")).toMatchObject(truncated);
    expect(await askTcp(server, "cut.example")).toMatchObject(truncated);
  });

  test("a failing zone does not displace what was known of it", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.1", 1)] });
    await ask(server, "A", "shaky.example");
    upstream.onQuestion = (asked) => asked.answer({ flags: 0x182 });
    const before = upstream.asked.length;
    while (upstream.asked.length === before) await ask(server, "A", "shaky.example");
    expect(await ask(server, "A", "shaky.example")).toMatchObject({ rcode: "NOERROR", answers: [{ ttl: 30 }] });
  });

  // dns-contract: source-bound
  test("one source's questions that resolvers are asked for are bounded, others' are not touched", async () => {
    const { server, upstream } = await world();
    const flooder = createSocket("udp4");
    await new Promise<void>((resolve) => flooder.bind(0, "127.0.0.2", resolve));
    cleanUps.push(() => flooder.close());
    const { port } = server.listening[0]!;
    const beginMs = performance.now();
    for (let i = 0; i < 6_000; i++) {
      flooder.send(
        encode({ type: "query", id: 1, flags: 0x100, questions: [{ type: "A", name: `f${i}.example` }] }),
        port,
        "127.0.0.1",
      );
      if (i % 100 === 0) await Bun.sleep(1);
    }
    while (!((await metric(server, 'dropped_total{reason="rate"}')) > 0)) await Bun.sleep(20);
    expect(await ask(server, "A", "other.example")).toMatchObject({ rcode: "NOERROR" });
    // A burst of 2,000, and 500 for each second since.
    expect(upstream.asked.length).toBeLessThan(2_500 + (performance.now() - beginMs) / 2);
  }, 30_000);

  test("settings that are read again name other resolvers, and their answers count", async () => {
    const { server, upstream, settings } = await world();
    await ask(server, "A", "example.org");
    const other = await FakeResolver.start();
    cleanUps.push(() => other.close());
    other.onQuestion = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.99")] });
    await server.reload({ ...settings, upstreams: [other.endpoint] });
    expect(await ask(server, "A", "example.org")).toMatchObject({ answers: [{ data: "192.0.2.99" }] });
    expect(upstream.asked).toHaveLength(1);
  });

  // dns-contract: any-octets
  test("names of any octets pass, and come back as they were asked", async () => {
    const { server, upstream } = await world();
    upstream.onQuestion = ({ raw, send }) => {
      const answer = Buffer.from(raw);
      answer.writeUInt16BE(0x8180, 2);
      send(answer);
    };
    for (const name of [
      "_acme-challenge.example.org",
      "_25._tcp.Mail.example.org",
      "xn--bcher-kva.example",
      "*.example.org",
    ]) {
      expect(await ask(server, "TXT", name)).toMatchObject({ rcode: "NOERROR", questions: [{ name }] });
    }
  });
});
