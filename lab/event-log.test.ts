import { expect, test } from "bun:test";
import { EventLog } from "./event-log.ts";

interface Event {
  readonly atMs: number;
  readonly word: string;
}

const is =
  (word: string) =>
  (event: Event): boolean =>
    event.word === word;

test("what was seen already counts, unless it is too old", async () => {
  const log = new EventLog<Event>();
  log.add({ atMs: 1, word: "a" });
  log.add({ atMs: 2, word: "a" });
  expect((await log.when(is("a"), { timeoutMs: 50, what: "a" })).atMs).toBe(1);
  expect((await log.when(is("a"), { sinceMs: 2, timeoutMs: 50, what: "a" })).atMs).toBe(2);
});

test("what comes later is waited for, by several at once", async () => {
  const log = new EventLog<Event>();
  const waiting = [is("a"), is("b"), is("b")].map((isIt) => log.when(isIt, { timeoutMs: 5_000, what: "it" }));
  for (const word of ["x", "b", "a"]) log.add({ atMs: 3, word });
  expect((await Promise.all(waiting)).map(({ word }) => word)).toEqual(["a", "b", "b"]);
});

test("what does not come is said with what came last", async () => {
  const log = new EventLog<Event>();
  log.add({ atMs: 1, word: "other" });
  const error: unknown = await log.when(is("a"), { timeoutMs: 20, what: "a word" }).catch((error: unknown) => error);
  expect(String(error)).toMatch(/waited 20 ms for a word.*other/);
});
