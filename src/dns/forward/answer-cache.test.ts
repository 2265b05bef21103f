import { describe, expect, test } from "bun:test";
import { decode, encode, type Packet } from "dns-packet";
import fc from "fast-check";
import { AnswerCache, CACHE_BYTES } from "./answer-cache.ts";
import { Question, readQuestion } from "../wire/question.ts";
import { FORWARD, Responder } from "../packets/responder.ts";
import { decodeUpstreamAnswer, type UpstreamAnswer } from "../wire/upstream-message.ts";

const SEED = 77;
const CLUSTER = { first: 0x0ad20000, prefix: 16 };
const RD = 0x100;
const CD = 0x10;

function packet(name: string, more: Packet = {}): Buffer {
  return encode({ type: "query", id: 5, flags: RD, questions: [{ type: "A", name }], ...more });
}

function questionOf(message: Buffer): Question {
  const question = new Question(SEED);
  expect(readQuestion(new DataView(message.buffer, message.byteOffset), 0, message.length, question)).toBe(0);
  return question;
}

/** What a resolver says, as the forwarder gives it. */
function answerOf(name: string, more: Packet): UpstreamAnswer {
  const message = encode({ type: "response", id: 5, questions: [{ type: "A", name }], ...more });
  const question = questionOf(packet(name));
  const asked = { name: question.nameCopy(), type: 1, isDnssecOk: false, isCheckingDisabled: false };
  return decodeUpstreamAnswer(message, { ...asked, isRecursionDesired: true })!;
}

function addressOf(name: string, data: string, ttl = 60): UpstreamAnswer {
  return answerOf(name, { answers: [{ type: "A", name, data, ttl }] });
}

function ask(responder: Responder, message: Buffer, isStale = false) {
  const bytes = Buffer.alloc(70_000);
  bytes.set(message);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = isStale
    ? responder.answerStale(view, 0, message.length, false)
    : responder.answer(view, 0, message.length, false);
  if (length === FORWARD) return undefined;
  return decode(bytes.subarray(0, length)) as ReturnType<typeof decode> & { rcode: string };
}

function setUp() {
  const cache = new AnswerCache(new SharedArrayBuffer(CACHE_BYTES));
  cache.setTime(1000);
  // A reader of its own, as the packet thread has it.
  const responder = new Responder(SEED, CLUSTER, new AnswerCache(cache.memory));
  const keep = (message: Buffer, answer: UpstreamAnswer): void => cache.put(questionOf(message), answer);
  return { cache, responder, keep };
}

describe("cache of resolvers' answers", () => {
  test("tells an answer again in the case of the question, its TTL lowered by its age, until its time is over", () => {
    const { cache, responder, keep } = setUp();
    expect(ask(responder, packet("example.org"))).toBeUndefined();
    keep(packet("Example.ORG"), addressOf("Example.ORG", "192.0.2.1", 60));
    cache.setTime(1020);
    expect(ask(responder, packet("eXample.org", { id: 9 }))).toMatchObject({
      id: 9,
      rcode: "NOERROR",
      flag_aa: false,
      questions: [{ name: "eXample.org" }],
      answers: [{ data: "192.0.2.1", ttl: 40 }],
    });
    cache.setTime(1060);
    expect(ask(responder, packet("example.org"))).toBeUndefined();
  });

  // dns-contract: cache-negative
  test("keeps NXDOMAIN and NODATA as long as their SOA says, and without one not at all", () => {
    const { cache, responder, keep } = setUp();
    const data = { mname: "a.test", rname: "b.test", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 30 };
    const authorities = [{ type: "SOA" as const, name: "org", ttl: 900, data }];
    keep(packet("nx.org"), answerOf("nx.org", { flags: 3, authorities }));
    keep(packet("empty.org"), answerOf("empty.org", { authorities }));
    keep(packet("bare.org"), answerOf("bare.org", { flags: 3 }));
    cache.setTime(1029);
    expect(ask(responder, packet("nx.org"))).toMatchObject({ rcode: "NXDOMAIN", authorities: [{ type: "SOA" }] });
    expect(ask(responder, packet("empty.org"))).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect(ask(responder, packet("bare.org"))).toBeUndefined();
    cache.setTime(1030);
    expect(ask(responder, packet("nx.org"))).toBeUndefined();
  });

  test("a failure is told again for two seconds", () => {
    const { cache, responder, keep } = setUp();
    keep(packet("broken.org"), answerOf("broken.org", { flags: 2 }));
    expect(ask(responder, packet("broken.org"))).toMatchObject({ rcode: "SERVFAIL" });
    cache.setTime(1002);
    expect(ask(responder, packet("broken.org"))).toBeUndefined();
    expect(ask(responder, packet("broken.org"), true)).toBeUndefined();
  });

  // dns-contract: cache-key
  test("keeps apart name, type, DO and CD", () => {
    const { responder, keep } = setUp();
    keep(packet("example.org"), addressOf("example.org", "192.0.2.1"));
    const opt = (flags: number) => ({
      additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1232, flags }] as never,
    });
    expect(ask(responder, packet("example.org", opt(0)))).toMatchObject({ answers: [{ data: "192.0.2.1" }] });
    expect(ask(responder, packet("example.org", opt(0x8000)))).toBeUndefined();
    expect(ask(responder, packet("example.org", { flags: RD | CD }))).toBeUndefined();
    expect(ask(responder, packet("example.com"))).toBeUndefined();
    expect(ask(responder, packet("x.example.org"))).toBeUndefined();
    expect(
      ask(responder, encode({ id: 1, flags: RD, questions: [{ type: "AAAA", name: "example.org" }] })),
    ).toBeUndefined();
  });

  test("what does not fit is truncated", () => {
    const { responder, keep } = setUp();
    const answers = Array.from({ length: 60 }, (_, i) => ({
      type: "A" as const,
      name: "many.org",
      data: `192.0.2.${i}`,
      ttl: 60,
    }));
    keep(packet("many.org"), answerOf("many.org", { answers }));
    expect(ask(responder, packet("many.org"))).toMatchObject({ flag_tc: true, answers: [] });
  });

  test("after its time an answer is told only when asked for so, with a short TTL (RFC 8767)", () => {
    const { cache, responder, keep } = setUp();
    keep(packet("example.org"), addressOf("example.org", "192.0.2.1", 60));
    cache.setTime(2000);
    expect(ask(responder, packet("example.org"))).toBeUndefined();
    expect(ask(responder, packet("example.org"), true)).toMatchObject({ answers: [{ data: "192.0.2.1", ttl: 30 }] });
    cache.setTime(1000 + 60 + 86_400);
    expect(ask(responder, packet("example.org"), true)).toBeUndefined();
  });

  test("what was kept before other resolvers came is not fresh any more", () => {
    const { cache, responder, keep } = setUp();
    keep(packet("example.org"), addressOf("example.org", "192.0.2.1", 60));
    cache.expire();
    expect(ask(responder, packet("example.org"))).toBeUndefined();
    expect(ask(responder, packet("example.org"), true)).toMatchObject({ answers: [{ data: "192.0.2.1" }] });
    keep(packet("example.org"), addressOf("example.org", "192.0.2.2", 60));
    expect(ask(responder, packet("example.org"))).toMatchObject({ answers: [{ data: "192.0.2.2" }] });
  });

  // dns-contract: cache-ttl
  test("never takes more than its bound, the oldest make room, and what is told is never another name's", () => {
    const { cache, responder, keep } = setUp();
    const text = "x".repeat(200);
    let told = 0;
    for (let i = 0; i < 32_000; i++) {
      const name = `n${i}.example`;
      const data = [`${i} ${text}`, text];
      keep(packet(name), answerOf(name, { answers: [{ type: "TXT", name, data, ttl: 60 }] }));
      if (i % 97 !== 0) continue;
      expect(cache.usedBytes).toBeLessThanOrEqual(CACHE_BYTES);
      const back = Math.floor(i * 0.9);
      const answer = ask(responder, packet(`n${back}.example`));
      if (answer === undefined) continue;
      told++;
      expect((answer.answers as { data: Buffer[] }[])[0]!.data.join("")).toStartWith(`${back} x`);
    }
    expect(told).toBeGreaterThan(150);
    expect(ask(responder, packet("n0.example"))).toBeUndefined();
    expect(ask(responder, packet("n31999.example"))).toBeDefined();
  });

  test("its places may count past 32 bits", () => {
    const { cache, responder, keep } = setUp();
    const control = new Int32Array(cache.memory);
    for (const edge of [2 ** 31, 2 ** 32]) {
      control.fill(edge - 100, 1, 4);
      for (let i = 0; i < 20; i++) {
        keep(packet(`n${i}.org`), addressOf(`n${i}.org`, `192.0.2.${i}`));
        for (let known = 0; known <= i; known++) {
          expect(ask(responder, packet(`n${known}.org`))).toMatchObject({ answers: [{ data: `192.0.2.${known}` }] });
        }
      }
    }
  });

  test("agrees with a map of what was put last (property)", () => {
    const step = fc.record({
      name: fc.integer({ min: 0, max: 7 }),
      isPut: fc.boolean(),
      ttl: fc.integer({ min: 0, max: 5 }),
      data: fc.integer({ min: 1, max: 254 }),
      waits: fc.integer({ min: 0, max: 2 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { cache, responder, keep } = setUp();
        const model = new Map<string, { data: string; until: number }>();
        let now = 1000;
        for (const { name: n, isPut, ttl, data, waits } of steps) {
          const name = `n${n}.org`;
          cache.setTime((now += waits));
          if (isPut) {
            keep(packet(name), addressOf(name, `192.0.2.${data}`, ttl));
            if (ttl > 0) model.set(name, { data: `192.0.2.${data}`, until: now + ttl });
          }
          const known = model.get(name);
          const answer = ask(responder, packet(name));
          if (known === undefined || known.until <= now) expect(answer).toBeUndefined();
          else expect(answer).toMatchObject({ answers: [{ data: known.data, ttl: known.until - now }] });
        }
      }),
      { numRuns: 50 },
    );
  });
});
