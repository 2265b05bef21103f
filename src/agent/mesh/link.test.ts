import { describe, expect, test } from "bun:test";
import type { ClusterCidr, SubnetNumber } from "../../model/cluster.ts";
import { encodeContainerRecord, type ContainerRecord } from "../../model/container-record.ts";
import type { Member } from "../../model/server-record.ts";
import { systemClock } from "../../system/clock.ts";
import { systemUdp } from "../../system/udp.ts";
import type { UdpSocket } from "../../system/udp-port.ts";
import { startLink, type AgentLink } from "./link.ts";
import type { NewsRecord } from "./news.ts";
import { encodePacket } from "./packet.ts";

const idOf = (n: number): string => n.toString(16).padStart(32, "0");
const members = (count: number): Member[] =>
  Array.from({ length: count }, (_, n) => ({ id: idOf(n), subnet: n, name: `s${n}`, nat: false }) as unknown as Member);

interface Started {
  readonly link: AgentLink;
  readonly news: NewsRecord[];
  hidden: readonly string[];
  rechecks: number;
}

/**
 * Loopback has an address for every server, and a cluster for every test, since they wait at the same time: number N has
 * 127.CLUSTER.N.0/24, over real sockets. Another run of this test has others.
 */
class Loopback {
  readonly #octet: number;
  readonly #open: { close(): void }[] = [];

  constructor(test: number) {
    this.#octet = 16 + 8 * (process.pid % 28) + test;
  }

  address(subnet: number): string {
    return `127.${this.#octet}.${subnet}.1`;
  }

  start(n: number, count: number, change: { readonly hasNews?: boolean; readonly isReady?: boolean } = {}): Started {
    const started: { -readonly [Key in keyof Started]: Started[Key] } = {
      link: startLink({
        self: { id: idOf(n), subnet: n as SubnetNumber },
        cluster: `127.${this.#octet}.0.0/16` as ClusterCidr,
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
    this.#open.push(started.link);
    return started;
  }

  async bind(subnet: number, port: number, onData: () => void = () => undefined): Promise<UdpSocket> {
    const handlers = { onData, onError: () => undefined };
    const socket = await systemUdp.bind(this.address(subnet), port, handlers);
    this.#open.push(socket);
    return socket;
  }

  record(subnet: number, rev = 5): ContainerRecord {
    return {
      containerId: "a".repeat(64),
      project: "shop",
      service: "web",
      instance: null,
      address: `127.${this.#octet}.${subnet}.2`,
      state: "healthy",
      ports: [],
      meta: {},
      rev,
    } as unknown as ContainerRecord;
  }

  close(): void {
    for (const each of this.#open.splice(0)) each.close();
  }
}

/** A test with a loopback of its own. */
function on(number: number, name: string, body: (net: Loopback) => Promise<void>): void {
  test.concurrent(
    name,
    async () => {
      const net = new Loopback(number);
      await body(net).finally(() => net.close());
    },
    10_000,
  );
}

async function until(what: string, holds: () => boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await Bun.sleep(2);
  }
}

const heard = ({ link }: Started): boolean =>
  link.report().every(({ isHeard, roundTripMs }) => isHeard && roundTripMs !== null);

describe("agents on loopback", () => {
  on(0, "measure each other, and news arrives at everybody at once", async (net) => {
    const [a, b, c] = [net.start(0, 3), net.start(1, 3), net.start(2, 3)];
    await until("round trips", () => [a, b, c].every((each) => heard(each)));
    const begin = performance.now();
    a.link.tell([[0, encodeContainerRecord(net.record(0))]]);
    await until("news", () => b.news.length === 1 && c.news.length === 1);
    expect(performance.now() - begin).toBeLessThan(200);
    expect(b.news).toEqual([{ serverId: idOf(0), n: 0, record: encodeContainerRecord(net.record(0)) }]);
    expect(a.news).toEqual([]);
  });

  on(1, "with news switched off nothing is said and nothing is heard", async (net) => {
    const [a, b] = [net.start(0, 2), net.start(1, 2, { hasNews: false })];
    await until("round trips", () => heard(a) && heard(b));
    a.link.tell([[0, encodeContainerRecord(net.record(0))]]);
    b.link.tell([[0, encodeContainerRecord(net.record(1))]]);
    a.link.askToRecheck(idOf(1));
    await until("a request after it", () => b.rechecks === 1);
    expect([a.news, b.news]).toEqual([[], []]);
  });

  on(2, "an agent that stops leaves its server reachable, since its kernel refuses", async (net) => {
    const [a, b] = [net.start(0, 2), net.start(1, 2)];
    await until("round trips", () => heard(a) && heard(b));
    b.link.close();
    await until("refused", () => a.link.report()[0]?.isAgentDown === true);
    expect(a.hidden).toEqual([]);
    expect(a.link.report()[0]).toMatchObject({ isHeard: true, counts: true });
  });

  on(3, "a server whose agent has not seen its engine since its boot is hidden until it has", async (net) => {
    const [a, b] = [net.start(0, 2), net.start(1, 2, { isReady: false })];
    await until("hidden", () => a.hidden.join() === idOf(1));
    b.link.setReady(true);
    await until("shown", () => a.hidden.length === 0);
  });

  on(4, "asking to look again is heard, but not more often than every 5 s", async (net) => {
    const [a, b] = [net.start(0, 2), net.start(1, 2)];
    await until("round trips", () => heard(a) && heard(b));
    for (let time = 0; time < 5; time++) expect(a.link.askToRecheck(idOf(1))).toBe(true);
    await until("dropped", () => b.link.dropped["asked too often"] === 4);
    expect(b.rechecks).toBe(1);
    expect(a.link.askToRecheck(idOf(7))).toBe(false);
  });
});

describe("strangers", () => {
  const newsOf = (net: Loopback): Buffer =>
    encodePacket({ type: "news", message: 1, rows: [[0, encodeContainerRecord(net.record(1))]] });

  on(5, "who is not a member, or speaks from another port than its agent's, tells nothing", async (net) => {
    const a = net.start(0, 3);
    const stranger = await net.bind(9, 31281);
    const localUser = await net.bind(1, 40_001);
    const member = await net.bind(2, 31281);
    await until("listening", () => {
      stranger.send(newsOf(net), 31281, net.address(0));
      return (a.link.dropped["not a member"] ?? 0) > 0;
    });
    localUser.send(newsOf(net), 31281, net.address(0));
    await until("dropped", () => a.link.dropped["from another port"] === 1);
    // a member that speaks of another's address
    member.send(newsOf(net), 31281, net.address(0));
    await until("dropped", () => a.link.dropped["news that cannot be true"] === 1);
    expect(a.news).toEqual([]);
  });

  on(6, "octets of any kind are dropped", async (net) => {
    const a = net.start(0, 2);
    const member = await net.bind(1, 31281);
    await until("dropped", () => {
      member.send(crypto.getRandomValues(Buffer.alloc(1 + Math.floor(Math.random() * 1400))), 31281, net.address(0));
      return (a.link.dropped["malformed"] ?? 0) > 200;
    });
    expect(a.news).toEqual([]);
  });

  on(7, "a member that probes without end is answered so often only, and others as before", async (net) => {
    let heard = 0;
    const a = net.start(0, 3);
    const b = net.start(2, 3);
    const member = await net.bind(1, 31281, () => heard++);
    const probe = { type: "ping", isReady: true, isConfirmed: false, heard: 0, roundTripMs: undefined } as const;
    const isKnown = ({ link }: Started): boolean =>
      link.report().some(({ id, roundTripMs }) => id === idOf(2) && roundTripMs !== null);
    await until("round trip", () => isKnown(a));
    const before = heard;
    for (let sequence = 1; sequence <= 2_000; sequence++) {
      member.send(encodePacket({ ...probe, sequence }), 31281, net.address(0));
      if (sequence % 50 === 0) await Bun.sleep(1);
    }
    await until("dropped", () => (a.link.dropped["too many probes"] ?? 0) > 1_000);
    expect(heard - before).toBeLessThan(500);
    expect(b.hidden).not.toContain(idOf(0));
  });
});
