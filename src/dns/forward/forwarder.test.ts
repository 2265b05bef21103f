import { afterEach, describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { readdirSync } from "node:fs";
import { encode } from "dns-packet";
import { addressOf, FakeResolver, type Asked } from "../../../test/fake-resolver.ts";
import type { Endpoint } from "../../model/address.ts";
import { systemClock } from "../../system/clock.ts";
import { Forwarder, type ForwarderOptions } from "./forwarder.ts";
import type { UpstreamAnswer, UpstreamQuestion } from "../wire/upstream-message.ts";
import { encodeName, RCODE } from "../wire/wire.ts";

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function resolver(onQuestion?: (asked: Asked) => void): Promise<FakeResolver> {
  const made = await FakeResolver.start();
  if (onQuestion !== undefined) made.onQuestion = onQuestion;
  open.push(made);
  return made;
}

function forwarder(resolvers: readonly (FakeResolver | Endpoint)[], more: Partial<ForwarderOptions> = {}): Forwarder {
  const endpoints = resolvers.map((one) => (typeof one === "string" ? one : one.endpoint));
  const made = new Forwarder({ resolvers: async () => endpoints, clock: systemClock, ...more });
  open.push(made);
  return made;
}

function question(name: string, type = 1): UpstreamQuestion {
  return { name: encodeName(name)!, type, isDnssecOk: false, isCheckingDisabled: false, isRecursionDesired: true };
}

function ask(from: Forwarder, name: string): Promise<UpstreamAnswer | undefined> {
  return from.ask(name, question(name));
}

/** The address in an answer that has one A record, which ends it. */
function addressIn(answer: UpstreamAnswer | undefined): string | undefined {
  return answer === undefined || answer.answers === 0 ? undefined : answer.body.subarray(-4).join(".");
}

/** A resolver that is switched off: nobody answers, and nobody says that the port is closed. */
const silent = (): void => undefined;

describe("asking resolvers", () => {
  // dns-contract: random-ids
  test("ids and source ports are drawn, and no socket is opened per question", async () => {
    const upstream = await resolver();
    const asking = forwarder([upstream]);
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    await ask(asking, "first.example");
    const before = process.platform === "linux" ? descriptors() : 0;
    for (let round = 0; round < 60; round++) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => ask(asking, `n${round}-${i}.example`)));
    }
    const ids = upstream.asked.map(({ packet }) => packet.id!);
    const ports = new Set(upstream.asked.map(({ port }) => port));
    // 3,001 draws of 65,536: about 70 are doubled.
    expect(new Set(ids).size).toBeGreaterThan(2850);
    const steps = ids.slice(1).filter((id, i) => Math.abs(id - ids[i]!) <= 4).length;
    expect(steps).toBeLessThan(50);
    // 8 sockets, each of which was replaced after 256 questions; a random port may come again.
    expect(ports.size).toBeGreaterThanOrEqual(14);
    if (process.platform === "linux") expect(descriptors() - before).toBeLessThan(40);
  });

  // dns-contract: answer-matches
  test("whatever does not answer the question is ignored, and the wait goes on", async () => {
    const noise: string[] = [];
    const upstream = await resolver((asked) => {
      const { packet, raw, send, answer } = asked;
      const [own] = packet.questions!;
      const base = { type: "response" as const, id: packet.id!, flags: 0x180, questions: [own!] };
      const lie = [{ type: "A" as const, name: own!.name, data: "203.0.113.66", ttl: 60 }];
      send(Buffer.alloc(0));
      send(Buffer.from([raw[0]!]));
      send(Buffer.from("garbage that is no message at all"));
      send(raw);
      send(encode({ ...base, id: (packet.id! + 1) & 0xffff, answers: lie }));
      send(encode({ ...base, questions: [{ type: "A", name: "other.example" }], answers: lie }));
      send(encode({ ...base, questions: [{ type: "AAAA", name: own!.name }], answers: lie }));
      send(encode({ ...base, questions: [{ type: "A", class: "CH", name: own!.name }], answers: lie }));
      send(encode({ ...base, questions: [own!, own!], answers: lie }));
      send(encode({ ...base, questions: [], answers: lie }));
      const update = encode({ ...base, answers: lie });
      update.writeUInt16BE(0xa980, 2);
      send(update);
      answer({ answers: [addressOf(asked, "192.0.2.7")] });
    });
    const asking = forwarder([upstream], { onNoise: (kind) => noise.push(kind) });
    expect(addressIn(await ask(asking, "example.org"))).toBe("192.0.2.7");
    expect(asking.counts.junk).toBeGreaterThanOrEqual(9);
    expect(new Set(noise)).toEqual(new Set(["junk"]));
    expect(upstream.asked).toHaveLength(1);
  });

  // dns-contract: no-forged-answers
  test("an answer from anybody but the resolver is never taken, however well it is forged", async () => {
    const forger = createSocket("udp4");
    await new Promise<void>((resolve) => forger.bind(0, "127.0.0.1", resolve));
    open.push({ close: () => forger.close() });
    const upstream = await resolver((asked) => {
      const { packet, port } = asked;
      // It knows everything: id, port and question; only the address it sends from is its own.
      const forged = encode({
        type: "response",
        id: packet.id!,
        flags: 0x180,
        questions: packet.questions!,
        answers: [addressOf(asked, "203.0.113.66")],
      });
      forger.send(forged, port, "127.0.0.1", () =>
        setTimeout(() => asked.answer({ answers: [addressOf(asked, "192.0.2.7")] }), 50),
      );
    });
    expect(addressIn(await ask(forwarder([upstream]), "example.org"))).toBe("192.0.2.7");
  });

  // dns-contract: tcp-on-tc
  test("an answer in another case of letters is the answer; a truncated one is asked for again over TCP", async () => {
    const upstream = await resolver((asked) => {
      const name = asked.packet.questions![0]!.name.toUpperCase();
      const questions = [{ type: "A" as const, name }];
      if (asked.protocol === "udp") asked.answer({ questions, flags: 0x380 });
      else asked.answer({ questions, answers: [addressOf(asked, "192.0.2.8")] });
    });
    expect(addressIn(await ask(forwarder([upstream]), "long.example"))).toBe("192.0.2.8");
    expect(upstream.asked.map(({ protocol }) => protocol)).toEqual(["udp", "tcp"]);
  });

  // dns-contract: no-malformed-answers
  test("malformed answers are not taken, counted, and another resolver is asked", async () => {
    const spoilers: ((raw: Buffer, end: number) => Buffer)[] = [
      // cut, counts that lie
      (raw) => raw.subarray(0, -1),
      (raw) => (raw.writeUInt16BE(2, 6), raw),
      // the owner points forward, to itself, into the header
      (raw, end) => (raw.writeUInt16BE(0xc000 | (end + 4), end), raw),
      (raw, end) => (raw.writeUInt16BE(0xc000 | end, end), raw),
      (raw, end) => (raw.writeUInt16BE(0xc004, end), raw),
      // data longer than the message; an address of three octets
      (raw, end) => (raw.writeUInt16BE(400, end + 10), raw),
      (raw, end) => (raw.writeUInt16BE(3, end + 10), raw.subarray(0, -1)),
    ];
    for (const spoil of spoilers) {
      const bad = await resolver(({ raw, send }) => {
        const end = 12 + encodeName("example.org")!.length + 4;
        const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 66]);
        const answer = Buffer.concat([raw.subarray(0, end), record]);
        answer.writeUInt16BE(0x8180, 2);
        answer.writeUInt16BE(1, 6);
        answer.writeUInt16BE(0, 10);
        send(spoil(answer, end));
      });
      const asking = forwarder([bad, await resolver()]);
      expect(addressIn(await ask(asking, "example.org"))).toBe("192.0.2.1");
      expect(asking.counts.malformed).toBe(1);
    }
  });

  test("a name in data that points forward makes the answer malformed", async () => {
    const bad = await resolver(({ raw, send }) => {
      const end = 12 + encodeName("example.org")!.length + 4;
      const record = Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, end + 12]);
      const answer = Buffer.concat([raw.subarray(0, end), record]);
      answer.writeUInt16BE(0x8180, 2);
      answer.writeUInt32BE(0x00010000 >>> 0, 6);
      answer.writeUInt16BE(0, 10);
      send(answer);
    });
    const asking = forwarder([bad, await resolver()]);
    expect(addressIn(await ask(asking, "example.org"))).toBe("192.0.2.1");
    expect(asking.counts.malformed).toBe(1);
  });

  const BADVERS = { type: "OPT", name: ".", extendedRcode: 1, udpPayloadSize: 1232, flags: 0, options: [] } as const;
  test.each([
    ["FORMERR", ({ answer }: Asked) => answer({ flags: 0x181 })],
    ["SERVFAIL", ({ answer }: Asked) => answer({ flags: 0x182 })],
    ["NOTIMP", ({ answer }: Asked) => answer({ flags: 0x184 })],
    ["REFUSED", ({ answer }: Asked) => answer({ flags: 0x185 })],
    ["BADVERS", ({ answer }: Asked) => answer({ additionals: [BADVERS as never] })],
    ["FORMERR without the question", ({ answer }: Asked) => answer({ flags: 0x181, questions: [] })],
  ])("a resolver that says %s to EDNS is asked without, and that is remembered", async (_, refuse) => {
    const upstream = await resolver((asked) => {
      if (asked.packet.additionals!.length > 0) refuse(asked);
      else asked.answer({ answers: [addressOf(asked, "192.0.2.9")] });
    });
    const asking = forwarder([upstream]);
    expect(addressIn(await ask(asking, "a.example"))).toBe("192.0.2.9");
    expect(addressIn(await ask(asking, "b.example"))).toBe("192.0.2.9");
    expect(upstream.asked).toHaveLength(3);
  });

  test("a resolver that drops questions with EDNS is asked without; two such silences are remembered", async () => {
    const upstream = await resolver((asked) => {
      if (asked.packet.additionals!.length === 0) asked.answer({ answers: [addressOf(asked, "192.0.2.9")] });
    });
    const asking = forwarder([upstream]);
    expect(addressIn(await ask(asking, "a.example"))).toBe("192.0.2.9");
    expect(addressIn(await ask(asking, "b.example"))).toBe("192.0.2.9");
    const beforehand = upstream.asked.length;
    expect(addressIn(await ask(asking, "c.example"))).toBe("192.0.2.9");
    expect(upstream.asked.length).toBe(beforehand + 1);
  });

  test("a failure of a resolver that knows EDNS is its answer, and costs no second question", async () => {
    const upstream = await resolver((asked) => {
      const isBroken = asked.packet.questions![0]!.name.startsWith("broken");
      if (isBroken) asked.answer({ flags: 0x182 });
      else asked.answer({ answers: [addressOf(asked, "192.0.2.9")] });
    });
    const asking = forwarder([upstream]);
    await ask(asking, "a.example");
    expect(await ask(asking, "broken.example")).toMatchObject({ rcode: RCODE.SERVFAIL });
    expect(upstream.asked.every(({ packet }) => packet.additionals!.length > 0)).toBe(true);
  });

  test("a truncated answer whose TCP fails is given as it is: truncated, and not kept", async () => {
    for (const cut of [0, 3]) {
      const upstream = await resolver(({ protocol, raw, send }) => {
        if (protocol === "tcp") return send(Buffer.from("nonsense"));
        const end = 12 + encodeName("long.example")!.length + 4;
        const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        const answer = Buffer.concat([raw.subarray(0, end), record.subarray(0, record.length - cut)]);
        answer.writeUInt16BE(0x8380, 2);
        answer.writeUInt16BE(1, 6);
        answer.writeUInt16BE(0, 10);
        send(answer);
      });
      const answer = await ask(forwarder([upstream]), "long.example");
      expect(answer).toMatchObject({ isTruncated: true, ttlSeconds: 0, answers: cut === 0 ? 1 : 0 });
    }
  });

  test("octets after an answer are left out of it", async () => {
    const upstream = await resolver(({ raw, send }) => {
      const end = 12 + encodeName("example.org")!.length + 4;
      const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
      const answer = Buffer.concat([raw.subarray(0, end), record, Buffer.from("and more")]);
      answer.writeUInt16BE(0x8180, 2);
      answer.writeUInt16BE(1, 6);
      answer.writeUInt16BE(0, 10);
      send(answer);
    });
    expect(addressIn(await ask(forwarder([upstream]), "example.org"))).toBe("192.0.2.7");
  });

  // dns-contract: any-octets
  test("names of any octets pass unchanged", async () => {
    const upstream = await resolver((asked) => asked.answer({ answers: [] }));
    const asking = forwarder([upstream]);
    for (const name of [
      "_acme-challenge.example.org",
      "_dmarc.Example.ORG",
      "a\\000b\\255.example",
      "x\\.y.example",
      ".",
    ]) {
      const wire = encodeName(name)!;
      upstream.onQuestion = ({ raw, send }) => {
        const end = 12 + wire.length + 4;
        expect([...raw.subarray(12, 12 + wire.length)]).toEqual([...wire]);
        const answer = Buffer.from(raw.subarray(0, end));
        answer.writeUInt16BE(0x8180, 2);
        answer.writeUInt16BE(0, 10);
        send(answer);
      };
      expect(await asking.ask(name, question(name))).toMatchObject({ rcode: RCODE.NOERROR, answers: 0 });
    }
  });
});

describe("several resolvers", () => {
  // dns-contract: next-resolver
  test("one whose port is closed costs no time, one that is silent costs it once: who works is remembered", async () => {
    const good = await resolver();
    const dead = await resolver(silent);
    const timed = async (from: Forwarder, name: string): Promise<number> => {
      const startMs = performance.now();
      expect(addressIn(await ask(from, name))).toBe("192.0.2.1");
      return performance.now() - startMs;
    };
    const closed = "127.0.0.1:9" as Endpoint;
    // Less than the shortest wait for one that is silent; the best of some, as the machine may be busy.
    const tookMs = [];
    for (let i = 0; i < 5; i++) tookMs.push(await timed(forwarder([closed, good]), "closed.example"));
    expect(Math.min(...tookMs)).toBeLessThan(100);
    // Clients give up, or ask the next server, after some seconds.
    const asking = forwarder([closed, dead, good]);
    expect(await timed(asking, "first.example")).toBeLessThan(1_000);
    expect(dead.asked.length).toBeGreaterThan(0);
    const askedBefore = dead.asked.length;
    for (let i = 0; i < 20; i++) expect(addressIn(await ask(asking, `n${i}.example`))).toBe("192.0.2.1");
    // After the first question the silent one was not waited for any more.
    expect(dead.asked.length).toBe(askedBefore);
    expect(asking.resolvers.map(({ isTrusted }) => isTrusted)).toEqual([false, false, true]);
  });

  test("one that fails is asked around, and when all fail that is the answer", async () => {
    const failing = await resolver((asked) => asked.answer({ flags: 0x182 }));
    const refusing = await resolver((asked) => asked.answer({ flags: 0x185 }));
    const good = await resolver();
    expect(addressIn(await ask(forwarder([failing, refusing, good]), "example.org"))).toBe("192.0.2.1");
    expect(await ask(forwarder([failing, refusing]), "example.org")).toMatchObject({ rcode: RCODE.SERVFAIL });
  });

  test("none answers: the question is given up at its deadline, and asked again meanwhile", async () => {
    const dead = await resolver(silent);
    const asking = forwarder([dead], { deadlineMs: 1_300 });
    expect(await ask(asking, "example.org")).toBeUndefined();
    expect(dead.asked.length).toBeGreaterThanOrEqual(2);
    expect(asking.counts).toMatchObject({ asked: 1, failed: 1, inFlight: 0 });
  });

  test("a slow one alone is waited for, and stays trusted", async () => {
    const slow = await resolver((asked) =>
      setTimeout(() => asked.answer({ answers: [addressOf(asked, "192.0.2.1")] }), 1_200),
    );
    const asking = forwarder([slow]);
    expect(addressIn(await ask(asking, "example.org"))).toBe("192.0.2.1");
    expect(asking.isHopeful).toBe(true);
  });

  test("there are none: it fails at once", async () => {
    expect(await ask(forwarder([]), "example.org")).toBeUndefined();
  });
});

describe("many questions", () => {
  // dns-contract: one-upstream-query
  test("equal ones under way are asked once, and kept once", async () => {
    const upstream = await resolver((asked) =>
      setTimeout(() => asked.answer({ answers: [addressOf(asked, "192.0.2.1")] }), 50),
    );
    const asking = forwarder([upstream]);
    let kept = 0;
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => asking.ask("same", question("example.org"), () => void kept++)),
    );
    expect(answers.map(addressIn)).toEqual(Array.from({ length: 100 }, () => "192.0.2.1"));
    expect(upstream.asked).toHaveLength(1);
    expect(kept).toBe(1);
    expect(asking.counts).toMatchObject({ asked: 1, joined: 99 });
  });

  // dns-contract: in-flight-cap
  test("more different ones than may be under way fail at once, and are counted", async () => {
    const upstream = await resolver(silent);
    const asking = forwarder([upstream], { maxInFlight: 10, deadlineMs: 500 });
    const answers = Array.from({ length: 30 }, (_, i) => ask(asking, `n${i}.example`));
    expect(await Promise.all(answers.slice(10))).toEqual(Array.from({ length: 20 }, () => undefined));
    expect(asking.counts).toMatchObject({ overload: 20, inFlight: 10 });
    await Promise.all(answers);
    expect(asking.counts.inFlight).toBe(0);
    upstream.onQuestion = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.1")] });
    expect(addressIn(await ask(asking, "later.example"))).toBe("192.0.2.1");
  });

  // dns-contract: in-flight-cap
  test("more askers than may wait fail at once and are counted, also when they ask the same", async () => {
    const upstream = await resolver(silent);
    const asking = forwarder([upstream], { deadlineMs: 500 });
    const answers = Array.from({ length: 17_000 }, () => asking.ask("same", question("example.org")));
    expect(await Promise.all(answers.slice(16_384))).toEqual(Array.from({ length: 616 }, () => undefined));
    expect(asking.counts).toMatchObject({ overload: 616, joined: 16_383, inFlight: 1 });
    await Promise.all(answers);
    upstream.onQuestion = (asked) => asked.answer({ answers: [addressOf(asked, "192.0.2.1")] });
    expect(addressIn(await ask(asking, "later.example"))).toBe("192.0.2.1");
  });

  // dns-contract: no-loops
  test("a question that comes back to us, through a stub that asks us, ends", async () => {
    const stub: { asking?: Forwarder; name: string } = { name: "loop.example" };
    const upstream = await resolver((asked) => {
      void stub.asking?.ask(stub.name, question(stub.name)).then(() => asked.answer({ flags: 0x182 }));
    });
    stub.asking = forwarder([upstream], { deadlineMs: 1_500 });
    const answer = await ask(stub.asking, stub.name);
    expect(answer?.rcode ?? RCODE.SERVFAIL).toBe(RCODE.SERVFAIL);
    // twice within the deadline, each time with EDNS and, after half a second of silence, without
    expect(upstream.asked.length).toBeLessThanOrEqual(4);
    expect(stub.asking.counts.inFlight).toBe(0);
  });
});
