import { afterEach, describe, expect, test } from "bun:test";
import type { ClusterCidr, SubnetNumber } from "../model/cluster.ts";
import { encodeContainerRecord, type ContainerRecord } from "../model/container-record.ts";
import type { Member } from "../model/server-record.ts";
import { systemClock } from "../system/clock.ts";
import { systemUdp } from "../system/udp.ts";
import type { UdpSocket } from "../system/udp-port.ts";
import { startLink, type Link } from "./link.ts";
import type { NewsRecord } from "./news.ts";
import { encodePacket } from "./packet.ts";

/** Loopback has an address for every server, over real sockets; another run of this test has others. */
const NET = `127.${16 + (process.pid % 200)}`;
const CLUSTER = `${NET}.0.0/16` as ClusterCidr;

const idOf = (n: number): string => n.toString(16).padStart(32, "0");
const members = (count: number): Member[] =>
  Array.from({ length: count }, (_, n) => ({ id: idOf(n), subnet: n, name: `s${n}`, nat: false }) as unknown as Member);

interface Started {
  readonly link: Link;
  readonly news: NewsRecord[];
  hidden: readonly string[];
  rechecks: number;
}

const open: { close(): void }[] = [];

function start(
  n: number,
  count: number,
  change: { readonly hasNews?: boolean; readonly isReady?: boolean } = {},
): Started {
  const started: { -readonly [Key in keyof Started]: Started[Key] } = {
    link: startLink({
      self: { id: idOf(n), subnet: n as SubnetNumber },
      cluster: CLUSTER,
      udp: systemUdp,
      clock: systemClock,
      log: { info: () => undefined, warn: () => undefined },
      random: Math.random,
      lost: new Set(),
      hasNews: change.hasNews ?? true,
      onReachability: (hidden) => (started.hidden = hidden),
      onNews: (records) => started.news.push(...records),
      onRecheck: () => started.rechecks++,
    }),
    news: [],
    hidden: [],
    rechecks: 0,
  };
  started.link.setReady(change.isReady ?? true);
  started.link.setMembers(members(count));
  open.push(started.link);
  return started;
}

async function until(what: string, holds: () => boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await Bun.sleep(2);
  }
}

afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

const record = (subnet: number, rev = 5): ContainerRecord =>
  ({
    containerId: "a".repeat(64),
    project: "shop",
    service: "web",
    instance: null,
    address: `${NET}.${subnet}.2`,
    state: "healthy",
    ports: [],
    meta: {},
    rev,
  }) as unknown as ContainerRecord;

const heard = ({ link }: Started): boolean =>
  link.report().every(({ isHeard, roundTripMs }) => isHeard && roundTripMs !== null);

describe("agents on loopback", () => {
  test("measure each other, and news arrives at everybody at once", async () => {
    const [a, b, c] = [start(0, 3), start(1, 3), start(2, 3)];
    await until("round trips", () => [a, b, c].every((each) => heard(each)));
    const begin = performance.now();
    a.link.tell([{ n: 0, rev: 5, record: record(0), previous: undefined }]);
    await until("news", () => b.news.length === 1 && c.news.length === 1);
    expect(performance.now() - begin).toBeLessThan(200);
    expect(b.news).toEqual([{ serverId: idOf(0), n: 0, record: encodeContainerRecord(record(0)) }]);
    expect(a.news).toEqual([]);
  }, 10_000);

  test("with news switched off nothing is said and nothing is heard", async () => {
    const [a, b] = [start(0, 2), start(1, 2, { hasNews: false })];
    await until("round trips", () => heard(a) && heard(b));
    a.link.tell([{ n: 0, rev: 5, record: record(0), previous: undefined }]);
    b.link.tell([{ n: 0, rev: 5, record: record(1), previous: undefined }]);
    a.link.askToRecheck(idOf(1));
    await until("a request after it", () => b.rechecks === 1);
    expect([a.news, b.news]).toEqual([[], []]);
  }, 10_000);

  test("an agent that stops leaves its server reachable, since its kernel refuses", async () => {
    const [a, b] = [start(0, 2), start(1, 2)];
    await until("round trips", () => heard(a) && heard(b));
    b.link.close();
    await until("refused", () => a.link.report()[0]?.isAgentDown === true);
    expect(a.hidden).toEqual([]);
    expect(a.link.report()[0]).toMatchObject({ isHeard: true, counts: true });
  }, 10_000);

  test("a server whose agent has not seen its engine since its boot is hidden until it has", async () => {
    const [a, b] = [start(0, 2), start(1, 2, { isReady: false })];
    await until("hidden", () => a.hidden.join() === idOf(1));
    b.link.setReady(true);
    await until("shown", () => a.hidden.length === 0);
  }, 10_000);

  test("asking to look again is heard, but not more often than every 5 s", async () => {
    const [a, b] = [start(0, 2), start(1, 2)];
    await until("round trips", () => heard(a) && heard(b));
    for (let time = 0; time < 5; time++) expect(a.link.askToRecheck(idOf(1))).toBe(true);
    await until("dropped", () => b.link.dropped["asked too often"] === 4);
    expect(b.rechecks).toBe(1);
    expect(a.link.askToRecheck(idOf(7))).toBe(false);
  }, 10_000);
});

describe("strangers", () => {
  const bind = async (address: string, port: number): Promise<UdpSocket> => {
    const socket = await systemUdp.bind(address, port, { onData: () => undefined, onError: () => undefined });
    open.push(socket);
    return socket;
  };
  const news = encodePacket({ type: "news", message: 1, rows: [[0, encodeContainerRecord(record(1))]] });

  test("who is not a member, or speaks from another port than its agent's, tells nothing", async () => {
    const a = start(0, 3);
    const stranger = await bind(`${NET}.9.1`, 31281);
    const localUser = await bind(`${NET}.1.1`, 40_001);
    const member = await bind(`${NET}.2.1`, 31281);
    await until("listening", () => {
      stranger.send(news, 31281, `${NET}.0.1`);
      return (a.link.dropped["not a member"] ?? 0) > 0;
    });
    localUser.send(news, 31281, `${NET}.0.1`);
    await until("dropped", () => a.link.dropped["from another port"] === 1);
    // a member that speaks of another's address
    member.send(news, 31281, `${NET}.0.1`);
    await until("dropped", () => a.link.dropped["news that cannot be true"] === 1);
    expect(a.news).toEqual([]);
  }, 10_000);

  test("octets of any kind are dropped", async () => {
    const a = start(0, 2);
    const member = await bind(`${NET}.1.1`, 31281);
    await until("dropped", () => {
      member.send(crypto.getRandomValues(Buffer.alloc(1 + Math.floor(Math.random() * 1400))), 31281, `${NET}.0.1`);
      return (a.link.dropped["malformed"] ?? 0) > 200;
    });
    expect(a.news).toEqual([]);
  }, 10_000);
});
