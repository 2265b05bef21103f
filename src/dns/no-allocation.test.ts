import { expect, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { encode } from "dns-packet";
import { AnswerCache, CACHE_BYTES } from "./forward/answer-cache.ts";
import { Responder } from "./packets/responder.ts";
import { Question, readQuestion } from "./wire/question.ts";
import { allocateTable, RECORD, TableReader } from "./zone/table.ts";
import { TableWriter } from "./zone/table-writer.ts";
import { encodeName } from "./wire/wire.ts";

const SEED = 4711;
const ROUNDS = 20_000;

/** Octets that the heap has grown by during `work`: it grows by blocks as objects are made, whether they live on or not. */
function heapGrowth(work: () => void): number {
  Bun.gc(true);
  const before = heapStats().heapCapacity;
  work();
  return heapStats().heapCapacity - before;
}

test("the measure sees what is allocated", () => {
  const kept: object[] = [];
  expect(
    heapGrowth(() => {
      for (let i = 0; i < ROUNDS; i++) kept.push({ i });
    }),
  ).toBeGreaterThan(ROUNDS * 16);
});

/** A responder with a small table, and questions of every sort, one of which it does not answer. */
function world() {
  const table = allocateTable({
    names: 16,
    arenaBytes: 4096,
    ttlSeconds: 60,
    negativeTtlSeconds: 5,
    reverseAddresses: 65_280,
  });
  const writer = new TableWriter(table, SEED);
  const name = (text: string): Uint8Array => encodeName(text) ?? new Uint8Array(0);
  writer.put(name("jiji"), RECORD.APEX, [], 0);
  writer.put(name("shop-web.jiji"), RECORD.NAME, [0xc0a80002, 0x0ad20003, 0x0ad20004], 0);
  writer.setReverse(2, name("shop-web.jiji"));
  const responder = new Responder(
    SEED,
    { first: 0x0ad20000, prefix: 16 },
    new AnswerCache(new SharedArrayBuffer(CACHE_BYTES)),
  );
  responder.use(new TableReader(table));
  const questions = (
    [
      ["A", "shop-web.jiji"],
      ["AAAA", "Shop-Web.JIJI"],
      ["A", "nobody.jiji"],
      ["SOA", "jiji"],
      ["PTR", "2.0.210.10.in-addr.arpa"],
      ["A", "example.org"],
    ] as const
  ).map(([type, name]) => encode({ type: "query", id: 1, flags: 0x100, questions: [{ type, name, class: "IN" }] }));
  return { responder, questions };
}

// dns-contract: no-allocation
test("answering allocates nothing, whatever is asked", () => {
  const { responder, questions } = world();
  const bytes = new Uint8Array(2048);
  const view = new DataView(bytes.buffer);
  let answered = 0;
  const ask = (): void => {
    for (let i = 0; i < ROUNDS; i++) {
      for (const question of questions) {
        bytes.set(question);
        if (responder.answer(view, 0, question.length, false) > 0) answered++;
      }
    }
  };
  ask();
  // Even the smallest object for each question would be sixteen times this.
  expect(heapGrowth(ask)).toBeLessThan(ROUNDS * questions.length);
  expect(answered).toBe(2 * ROUNDS * (questions.length - 1));
});

// dns-contract: no-allocation
test("what the packet thread does with a batch allocates nothing: all are read, their names fetched, each answered", () => {
  const { responder, questions } = world();
  const batch = 64;
  const view = new DataView(new ArrayBuffer(batch * 2048));
  const bytes = new Uint8Array(view.buffer);
  const read = Array.from({ length: batch }, () => new Question(SEED));
  const verdicts = new Int32Array(batch);
  const malformed = questions[0]!.subarray(0, -1);
  const packets = Array.from(
    { length: batch },
    (_, i) => questions[i] ?? (i % 8 === 7 ? malformed : questions[i % 5]!),
  );
  let answered = 0;
  const run = (): void => {
    for (let round = 0; round < ROUNDS / 8; round++) {
      for (let i = 0; i < batch; i++) bytes.set(packets[i] as Uint8Array, i * 2048);
      for (let i = 0; i < batch; i++) {
        const length = (packets[i] as Uint8Array).length;
        verdicts[i] = readQuestion(view, i * 2048, length, read[i] as Question);
      }
      responder.warm(read, batch);
      for (let i = 0; i < batch; i++) {
        const verdict = verdicts[i] as number;
        if (responder.answerRead(view, i * 2048, read[i] as Question, verdict, false) > 0) answered++;
      }
    }
  };
  run();
  expect(heapGrowth(run)).toBeLessThan((ROUNDS / 8) * batch);
  expect(answered).toBe(2 * (ROUNDS / 8) * (batch - 1));
});
