import { expect, test } from "bun:test";
import { decode, encode } from "dns-packet";
import { systemClock } from "../../system/clock.ts";
import { AnswerCache, CACHE_BYTES } from "../forward/answer-cache.ts";
import { COUNTER_BYTES, Counters } from "../operation/counters.ts";
import { Forwarder } from "../forward/forwarder.ts";
import { QuestionService } from "./question-service.ts";
import { SourceLimit } from "../forward/source-limit.ts";
import { Zone } from "../zone/zone.ts";
import { ZoneTable } from "../zone/zone-table.ts";

test("answers that take long are bounded per source, and another source is not touched", async () => {
  // Each look at the clock takes 5 ms, so each answer of the zone seems to take as long.
  const state = { nowMs: 0, stepMs: 5 };
  const clock = { ...systemClock, monotonicMs: () => (state.nowMs += state.stepMs) };
  const zone = new Zone({ cluster: "10.210.0.0/16" as never, localFirst: false, nowMs: () => 0 });
  const counters = new Counters(new ArrayBuffer(COUNTER_BYTES));
  const service: QuestionService = new QuestionService({
    seed: 1,
    cluster: { first: 0x0ad20000, prefix: 16 },
    zone,
    ttlSeconds: () => 60,
    forwarder: new Forwarder({ resolvers: async () => [], clock }),
    limit: new SourceLimit(clock),
    counters,
    cache: new AnswerCache(new SharedArrayBuffer(CACHE_BYTES)),
    clock,
  });
  const table = new ZoneTable({
    zone,
    seed: 1,
    ttlSeconds: () => 60,
    nowMs: () => 0,
    onTable: (buffer) => service.useTable(buffer),
    pause: async () => undefined,
  });
  await table.rebuild();
  const question = encode({ type: "query", id: 1, questions: [{ type: "SRV", name: "_80._tcp.shop-web.jiji" }] });
  const ask = (address: number) => service.answer(question, address, false);
  let answered = 0;
  for (let i = 0; i < 500; i++) if ((await ask(1)) !== undefined) answered++;
  // 400 ms at once and 100 ms a second; the 500 questions seem to take at least 2.5 s.
  expect(answered).toBeGreaterThan(80);
  expect(answered).toBeLessThan(300);
  expect(counters.get("droppedRate")).toBe(500 - answered);
  expect(decode(Buffer.from((await ask(2))!))).toMatchObject({ rcode: "NXDOMAIN" });
  state.nowMs += 60_000;
  expect(await ask(1)).toBeDefined();
  // What takes no time is not counted at all.
  state.stepMs = 0;
  for (let i = 0; i < 5_000; i++) expect(await ask(3)).toBeDefined();
});
