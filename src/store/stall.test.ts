import { expect, test } from "bun:test";
import { FastClock } from "../../test/fast-clock.ts";
import { noticeStall, RowDigest } from "./stall.ts";

function digestOf(...rows: string[]): RowDigest {
  const digest = new RowDigest();
  for (const row of rows) digest.add(row);
  return digest;
}

function watch(readStored: () => Promise<RowDigest | undefined>, isWhole = true) {
  const ends = new AbortController();
  const told = { events: 0, isWhole, rows: new RowDigest() };
  told.rows.set(1, "a");
  const clock = new FastClock(1000);
  const noticed = noticeStall({ clock, signal: ends.signal, told, readStored, probeMs: 15_000 });
  return { noticed, told, end: () => ends.abort() };
}

test("a digest is of the rows, whatever their order and history", () => {
  const told = new RowDigest();
  for (const [id, text] of [
    [1, "a"],
    [2, "b"],
    [1, "c"],
    [3, "d"],
  ] as const)
    told.set(id, text);
  told.remove(2);
  told.remove(7);
  expect(told.equals(digestOf("d", "c"))).toBe(true);
  expect(told.equals(digestOf("d"))).toBe(false);
  expect(told.equals(digestOf("d", "b"))).toBe(false);
});

test("a subscription that lacks what the store has is noticed", async () => {
  expect(await watch(async () => digestOf("a", "b")).noticed).toBe("the subscription has fallen silent");
  expect(await watch(async () => digestOf("a"), false).noticed).toBe("the subscription's snapshot stopped half-way");
});

test("one that speaks, that has everything, or whose store does not answer, is watched on", async () => {
  const answers: (() => RowDigest | undefined)[] = [
    () => {
      throw new Error("away");
    },
    () => undefined,
    () => digestOf("a"),
    () => {
      told.events++;
      setTimeout(() => told.events++, 1);
      return digestOf("a", "b");
    },
    () => {
      setTimeout(end, 0);
      return digestOf("a");
    },
  ];
  const { noticed, told, end } = watch(async () => answers.shift()?.());
  expect(await noticed).toBeUndefined();
  expect(answers).toHaveLength(0);
});
