import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ClusterCidr, SubnetNumber } from "../../model/cluster.ts";
import { encodeContainerRecord, parseContainerRecord, type ContainerRecord } from "../../model/container-record.ts";
import { newsOfChange, NewsReceiver, NewsSender, packNews } from "./news.ts";
import { encodePacket } from "./packet.ts";

const CLUSTER = "10.210.0.0/16" as ClusterCidr;
const FROM = { id: "b".repeat(32), subnet: 3 as SubnetNumber };
const NOW = { monotonicMs: 1_000, clockMs: 1_700_000_000_000 };

function record(change: Partial<ContainerRecord> = {}): ContainerRecord {
  const value = {
    containerId: "a".repeat(64),
    project: "shop",
    service: "web",
    instance: null,
    address: "10.210.3.2",
    state: "healthy",
    ports: [],
    meta: {},
    rev: NOW.clockMs,
    ...change,
  };
  return value as ContainerRecord;
}

const row = (n: number, change: Partial<ContainerRecord> = {}): readonly [number, string] => [
  n,
  encodeContainerRecord(record(change)),
];

describe("saying", () => {
  const peers = [
    { id: "x", roundTripMs: 40 },
    { id: "y", roundTripMs: undefined },
  ];

  test("goes to every peer once, and not again after the acknowledgement", () => {
    const sender = new NewsSender(() => 0.5);
    const said = sender.say([row(0)], peers, 0);
    expect(said.map(({ to }) => to)).toEqual(["x", "y"]);
    for (const { to, packet } of said) if (packet.type === "news") sender.acknowledged(to, packet.message);
    expect(sender.tick(10_000)).toEqual([]);
    expect(sender.nextDueMs()).toBe(Number.POSITIVE_INFINITY);
  });

  test("is repeated twice without acknowledgement, soon and then after a round trip, and then left to the store", () => {
    const sender = new NewsSender(() => 0.5);
    sender.say([row(0)], [{ id: "x", roundTripMs: 40 }], 0);
    const times: number[] = [];
    for (let nowMs = 0; nowMs < 10_000; nowMs += 10) if (sender.tick(nowMs).length > 0) times.push(nowMs);
    expect(times).toEqual([20, 70]);
    expect(sender.nextDueMs()).toBe(Number.POSITIVE_INFINITY);
  });

  test("is not repeated early while much is being said", () => {
    const sender = new NewsSender(() => 0.5);
    for (let n = 0; n < 600; n++) sender.say([row(n % 253)], [{ id: "x", roundTripMs: 40 }], 0);
    expect(sender.tick(20).length).toBe(512);
    expect(sender.tick(60).length).toBe(600 - 512);
  });

  test("fits datagrams, loses no row and keeps their order", () => {
    const rows = fc.array(
      fc.tuple(fc.nat(252), fc.string({ maxLength: 2000 })).map(([n, text]) => [n, text] as const),
      { maxLength: 300 },
    );
    fc.assert(
      fc.property(rows, (list) => {
        const packed = packNews(list);
        expect(packed.flat()).toEqual(list);
        for (const part of packed) {
          const bytes = encodePacket({ type: "news", message: 1, rows: part }).length;
          expect(bytes <= 1_212 || part.length === 1).toBe(true);
        }
      }),
    );
  });

  test("a row that goes is said to be stopped, under its newer rev", () => {
    const previous = record();
    const [news] = newsOfChange({ n: 4, rev: previous.rev + 1, record: undefined, text: "", previous });
    expect(news?.[0]).toBe(4);
    expect(parseContainerRecord(news?.[1] ?? "")).toEqual({
      ...previous,
      state: "stopped",
      address: null,
      rev: previous.rev + 1,
    });
    expect(newsOfChange({ n: 4, rev: 1, record: undefined, text: "", previous: undefined })).toEqual([]);
  });
});

describe("hearing", () => {
  const take = (receiver: NewsReceiver, ...rows: (readonly [number, string])[]) => receiver.take(FROM, rows, NOW);

  // security-tests: gossip-bounds
  test("is about the speaker's own rows, whoever else is meant", () => {
    const taken = take(new NewsReceiver(CLUSTER), row(0));
    expect(taken?.records).toEqual([{ serverId: FROM.id, n: 0, record: row(0)[1] }]);
  });

  test("what is doubled, late or out of order is told once, the newest last", () => {
    const receiver = new NewsReceiver(CLUSTER);
    const revs = [3, 3, 1, 5, 4, 5].map((rev) => row(0, { rev: NOW.clockMs + rev }));
    const told = revs.flatMap((each) => take(receiver, each)?.records ?? []);
    expect(told.map(({ record: text }) => (parseContainerRecord(text)?.rev ?? 0) - NOW.clockMs)).toEqual([3, 5]);
  });

  test.each([
    ["an address of another server", row(0, { address: "10.210.4.2" as never })],
    ["a server's own address", row(0, { address: "10.210.3.1" as never })],
    ["a rev a week ahead", row(0, { rev: NOW.clockMs + 7 * 86_400_000 })],
    ["a rev that is no safe integer", row(0, { rev: 2 ** 60 })],
    ["no record", [0, "{}"] as const],
    ["nothing", [0, ""] as const],
  ])("%s is refused", (_, forged) => {
    expect(take(new NewsReceiver(CLUSTER), forged)).toEqual({ records: [], refused: 1 });
  });

  // security-tests: gossip-bounds
  test("a peer that says too much is not listened to, and others still are", () => {
    const receiver = new NewsReceiver(CLUSTER);
    let heard = 0;
    for (let rev = 1; rev <= 1_000; rev++) if (take(receiver, row(0, { rev })) !== undefined) heard++;
    expect(heard).toBe(100);
    expect(receiver.take({ id: "other", subnet: 3 as SubnetNumber }, [row(0)], NOW)).toBeDefined();
    expect(receiver.take(FROM, [row(0)], { ...NOW, monotonicMs: NOW.monotonicMs + 1_000 })).toBeDefined();
  });

  test("arbitrary rows never throw, and only credible ones are told", () => {
    const rows = fc.array(fc.tuple(fc.nat(4095), fc.oneof(fc.string(), fc.json(), fc.constant(row(0)[1]))));
    fc.assert(
      fc.property(rows, (list) => {
        const taken = new NewsReceiver(CLUSTER).take(FROM, list, NOW);
        for (const { record: text } of taken?.records ?? []) expect(parseContainerRecord(text)).toBeDefined();
      }),
    );
  });
});
