import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { holdMs, timingOf } from "./peer-contact.ts";
import { Reachability } from "./reachability.ts";

/** A reproducible chance (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Datagram {
  readonly atMs: number;
  readonly from: number;
  readonly to: number;
  readonly packet: Parameters<Reachability["receive"]>[1];
}

/** Agents on an imagined network, in imagined time: every decision is the product's, every fault is the test's. */
class World {
  nowMs = 1_000;
  readonly agents = new Map<number, Reachability>();
  /** servers that are switched off: nothing answers for them */
  readonly off = new Set<number>();
  /** servers that run without an agent: their kernel refuses */
  readonly agentless = new Set<number>();
  /** whether a datagram passes */
  passes: (from: number, to: number) => boolean = () => true;
  delayMs = 1;
  /** how often each agent looks at what came and at what is due, every one at times of its own; 10: at once */
  lookMs = 10;
  sent = 0;
  /** changes of what a server hides */
  changes = 0;
  readonly #random: () => number;
  readonly #count: number;
  readonly #apart: ReadonlySet<number>;
  /** as many members as a large mesh has, of which all but the agents have no path */
  readonly #crowd: readonly { id: string; subnet: number; isApart: true }[];
  #waiting: Datagram[] = [];
  readonly #hidden = new Map<number, string>();
  /** `changes` of each agent when what it hides was last compared */
  readonly #looked = new Map<Reachability, number>();

  constructor(count: number, seed = 1, apart: readonly number[] = [], crowd = 0) {
    this.#random = chance(seed);
    this.#crowd = Array.from({ length: crowd }, (_, n) => {
      return { id: `crowd-${n}`, subnet: 100 + n, isApart: true };
    });
    if (timingOf(count + crowd).isBatched) this.lookMs = timingOf(count + crowd).lookMs;
    this.#count = count;
    this.#apart = new Set(apart);
    for (let n = 0; n < count; n++) this.startAgent(n);
  }

  startAgent(n: number, options: { readonly isReady?: boolean; readonly lost?: readonly string[] } = {}): void {
    const agent = new Reachability(n, this.#random);
    const others = Array.from({ length: this.#count }, (_, subnet) => subnet).filter((subnet) => subnet !== n);
    const members = others.map((subnet) => ({
      id: String(subnet),
      subnet,
      isApart: this.#apart.has(n) && this.#apart.has(subnet),
    }));
    agent.setReady(options.isReady ?? true);
    agent.setMembers([...members, ...this.#crowd], this.nowMs, new Set(options.lost ?? []));
    this.agents.set(n, agent);
  }

  cut(n: number): void {
    this.passes = (from, to) => from !== n && to !== n;
  }

  heal(): void {
    this.passes = () => true;
  }

  hidden(n: number): readonly string[] {
    return (this.agents.get(n)?.hidden(this.nowMs) ?? []).filter((id) => !id.startsWith("crowd"));
  }

  isRunning(n: number): boolean {
    return !this.off.has(n) && !this.agentless.has(n);
  }

  run(ms: number, isOver: () => boolean = () => false): number {
    const begin = this.nowMs;
    while (this.nowMs < begin + ms && !isOver()) {
      this.nowMs += 10;
      this.#deliver();
      for (const [n, agent] of this.agents) {
        if (!this.isRunning(n)) continue;
        if (this.#looks(n) && agent.nextDueMs() <= this.nowMs) this.#tick(n, agent);
        if (agent.changes !== this.#looked.get(agent)) this.#compareHidden(n, agent);
      }
    }
    return this.nowMs - begin;
  }

  #compareHidden(n: number, agent: Reachability): void {
    this.#looked.set(agent, agent.changes);
    const text = agent.hidden(this.nowMs).join();
    if (text !== (this.#hidden.get(n) ?? "")) this.changes++;
    this.#hidden.set(n, text);
  }

  #looks(n: number): boolean {
    return (this.nowMs + 30 * n) % this.lookMs === 0;
  }

  #tick(n: number, agent: Reachability): void {
    for (const { to, packet, isDirect } of agent.tick(this.nowMs)) {
      if (packet.type !== "ping" && packet.type !== "pong") continue;
      const peer = Number(to);
      if (isDirect && this.agentless.has(peer) && this.passes(n, peer)) agent.refused(to, this.nowMs);
      else this.#send(n, peer, packet);
    }
  }

  #send(from: number, to: number, packet: Datagram["packet"]): void {
    this.sent++;
    if (this.passes(from, to)) this.#waiting.push({ atMs: this.nowMs + this.delayMs, from, to, packet });
  }

  #deliver(): void {
    if (this.#waiting.length === 0) return;
    const isDue = ({ atMs, to }: Datagram): boolean => atMs <= this.nowMs && this.#looks(to);
    const due = this.#waiting.filter((datagram) => isDue(datagram));
    this.#waiting = this.#waiting.filter((datagram) => !isDue(datagram));
    for (const { atMs, from, to, packet } of due) {
      if (!this.isRunning(to)) continue;
      for (const answer of this.agents.get(to)?.receive(String(from), packet, this.nowMs, this.nowMs - atMs) ?? []) {
        if (answer.type === "ping" || answer.type === "pong") this.#send(to, from, answer);
      }
    }
  }
}

describe("a quiet mesh", () => {
  test.each([
    ["half second", 0, 2],
    ["half second, also with 50 members", 40, 2],
    ["second, when it is larger", 41, 1],
  ])("hides nobody and costs one exchange per pair and %s", (_, crowd, exchanges) => {
    const world = new World(10, 1, [], crowd);
    world.run(3_000);
    const before = world.sent;
    world.run(20_000);
    expect(Array.from({ length: 10 }, (_server, n) => world.hidden(n)).flat()).toEqual([]);
    const perPairAndSecond = (world.sent - before) / 45 / 20;
    expect(perPairAndSecond).toBeGreaterThan(1.9 * exchanges);
    expect(perPairAndSecond).toBeLessThan(2.1 * exchanges);
  });

  test.each([
    ["a small mesh", 4, 0],
    ["50 members", 3, 47],
    ["a large mesh", 3, 48],
  ])("with 5 %% loss each way at 40 ms hides nobody for ten minutes: %s", (_, servers, crowd) => {
    for (const seed of crowd > 0 ? [1] : [1, 2, 3]) {
      const world = new World(servers, seed, [], crowd);
      const random = chance(seed + 100);
      world.passes = () => random() >= 0.05;
      world.delayMs = 20;
      world.run(1_000);
      const before = world.changes;
      world.run(600_000, () => world.changes > before);
      expect(world.changes - before).toBe(0);
    }
  });

  test("knows the round trip on both sides, and the loss", () => {
    const world = new World(2);
    world.delayMs = 20;
    world.run(5_000);
    for (const n of [0, 1]) {
      const [report] = world.agents.get(n)?.report(world.nowMs) ?? [];
      expect(report?.roundTripMs).toBeGreaterThanOrEqual(40);
      expect(report?.roundTripMs).toBeLessThanOrEqual(60);
      expect(report).toMatchObject({ isHeard: true, counts: true, isReady: true, isAgentDown: false });
    }
    expect(world.agents.get(0)?.report(world.nowMs)[0]?.lossPercent).toBe(0);
  });
});

describe("a server that falls silent", () => {
  test.each([
    ["1.4 s, in a small mesh", 1_400, 1, 0],
    ["1.4 s, over 150 ms", 1_400, 75, 0],
    ["1.4 s, with 50 members", 1_400, 1, 45],
    ["4 s, over 300 ms", 4_000, 150, 0],
    ["4 s, in a large mesh", 4_000, 1, 46],
  ])("is hidden within %s, and counts within 2 s of its return", (_, withinMs, delayMs, crowd) => {
    for (let seed = 1; seed <= (crowd > 0 ? 4 : 20); seed++) {
      const world = new World(5, seed, [], crowd);
      world.delayMs = delayMs;
      world.run(4_000 + seed * 137);
      world.cut(2);
      const others = [0, 1, 3, 4];
      const lostMs = world.run(10_000, () => others.every((n) => world.hidden(n).join() === "2"));
      expect(lostMs).toBeLessThanOrEqual(withinMs);
      world.run(20_000);
      world.heal();
      const backMs = world.run(10_000, () => others.every((n) => world.hidden(n).length === 0));
      expect(backMs).toBeLessThan(2_000);
    }
  });

  test("is not taken for dead while its answers take long, by whatever they take longer than before", () => {
    const world = new World(4);
    for (const delayMs of [1, 200, 20, 350, 5, 74, 76]) {
      world.delayMs = delayMs;
      world.run(10_000);
      expect([0, 1, 2, 3].flatMap((n) => world.hidden(n))).toEqual([]);
    }
    expect(world.changes).toBe(0);
  });

  // dns-contract: cut-off
  test("keeps answering everything itself, also through a minority; half of two is not more than half", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const five = new World(5, seed);
      let most = 0;
      const watch = (): boolean => {
        most = Math.max(most, five.hidden(2).length);
        return false;
      };
      five.run(3_000 + seed * 61, watch);
      five.cut(2);
      five.run(10_000, watch);
      five.heal();
      five.run(10_000, watch);
      expect(most).toBe(0);
    }
    const two = new World(2);
    two.run(3_000);
    two.cut(1);
    two.run(10_000);
    expect([two.hidden(0), two.hidden(1)]).toEqual([["1"], ["0"]]);
  });

  test("in one direction only is hidden on both sides", () => {
    for (const [from, to] of [
      [1, 2],
      [2, 1],
    ]) {
      const world = new World(4);
      world.run(3_000);
      world.passes = (a, b) => !(a === from && b === to);
      const ms = world.run(10_000, () => world.hidden(1).join() === "2" && world.hidden(2).join() === "1");
      expect(ms).toBeLessThan(6_000);
      world.run(30_000);
      expect([world.hidden(0), world.hidden(1), world.hidden(2)]).toEqual([[], ["2"], ["1"]]);
    }
  });

  test("that had no path by configuration is hidden always and counts nowhere", () => {
    const world = new World(3, 1, [1, 2]);
    world.run(3_000);
    expect([world.hidden(0), world.hidden(1), world.hidden(2)]).toEqual([[], ["2"], ["1"]]);
    world.cut(0);
    world.run(6_000);
    // for server 1 there are two that count, itself and server 0: one of two is not more than half
    expect(world.hidden(1)).toEqual(["0", "2"]);
  });
});

describe("an agent that is down", () => {
  test("does not take its server's containers away, on either side of the exchange", () => {
    for (const down of [0, 3]) {
      const world = new World(4);
      world.run(3_000);
      world.agentless.add(down);
      world.run(60_000);
      for (let n = 0; n < 4; n++) if (n !== down) expect(world.hidden(n)).toEqual([]);
      expect(
        world.agents
          .get(1)
          ?.report(world.nowMs)
          .find(({ id }) => id === String(down))?.isAgentDown,
      ).toBe(true);
      world.agentless.delete(down);
      world.startAgent(down);
      world.run(10_000);
      expect(world.hidden(1)).toEqual([]);
    }
  });

  test("while its server dies after all is hidden within 1.4 s", () => {
    const world = new World(4);
    world.run(3_000);
    world.agentless.add(0);
    world.run(10_000);
    world.off.add(0);
    world.agentless.delete(0);
    expect(world.run(10_000, () => [1, 2, 3].every((n) => world.hidden(n).join() === "0"))).toBeLessThan(1_400);
  });

  test("after a boot restores nothing: only an agent that has seen its engine does", () => {
    for (const rebooted of [0, 3]) {
      const world = new World(4);
      world.run(3_000);
      world.off.add(rebooted);
      world.run(6_000);
      const others = [0, 1, 2, 3].filter((n) => n !== rebooted);
      world.off.delete(rebooted);
      world.agentless.add(rebooted);
      world.run(10_000);
      for (const n of others) expect(world.hidden(n)).toEqual([String(rebooted)]);
      world.agentless.delete(rebooted);
      world.startAgent(rebooted, { isReady: false });
      world.run(10_000);
      for (const n of others) expect(world.hidden(n)).toEqual([String(rebooted)]);
      world.agents.get(rebooted)?.setReady(true);
      expect(world.run(10_000, () => others.every((n) => world.hidden(n).length === 0))).toBeLessThan(2_000);
    }
  });

  test("whose boot was too quick to be missed is hidden until it has seen its engine", () => {
    const world = new World(3);
    world.run(3_000);
    world.off.add(1);
    world.run(1_000);
    world.off.delete(1);
    world.startAgent(1, { isReady: false });
    world.run(2_000);
    expect(world.hidden(0)).toEqual(["1"]);
  });
});

test("a server that says farewell is hidden at once, and not restored by its kernel alone", () => {
  const world = new World(4);
  world.run(3_000);
  world.agents.get(1)?.setReady(false);
  for (const { to, packet } of world.agents.get(1)?.announce(world.nowMs) ?? []) {
    if (packet.type === "ping") world.agents.get(Number(to))?.receive("1", packet, world.nowMs);
  }
  world.agentless.add(1);
  expect([0, 2, 3].map((n) => world.hidden(n).join())).toEqual(["1", "1", "1"]);
  world.run(20_000);
  expect([0, 2, 3].map((n) => world.hidden(n).join())).toEqual(["1", "1", "1"]);
  world.agentless.delete(1);
  world.startAgent(1);
  world.run(3_000);
  expect([0, 2, 3].map((n) => world.hidden(n).join())).toEqual(["", "", ""]);
});

test("an agent that is restarted remembers who was unreachable, and lets a refused port restore nobody", () => {
  const world = new World(4);
  world.run(3_000);
  world.off.add(0);
  world.run(6_000);
  const lost = world.agents.get(3)?.lost(world.nowMs) ?? [];
  expect(lost).toEqual(["0"]);
  world.off.delete(0);
  world.agentless.add(0);
  world.startAgent(3, { lost });
  world.run(10_000);
  expect(world.hidden(3)).toEqual(["0"]);
});

test("time in which the process did not run is nobody's silence", () => {
  const world = new World(3);
  world.run(5_000);
  world.agents.get(1)?.tick(world.nowMs + 60_000);
  expect(world.agents.get(1)?.hidden(world.nowMs + 60_000)).toEqual([]);
});

test("what was heard just before such a time was noticed keeps nobody alive longer", () => {
  const agent = new Reachability(0, chance(1));
  agent.setMembers([{ id: "1", subnet: 1, isApart: false }], 1_000);
  const [ping] = agent.announce(1_000);
  if (ping?.packet.type !== "ping") throw new Error("no ping");
  const { sequence } = ping.packet;
  const pong = { type: "pong", isReady: true, isConfirmed: true, sequence, heard: 0, roundTripMs: 0 } as const;
  // a minute later the socket is looked at before the clock is
  agent.receive("1", pong, 61_000);
  for (let nowMs = 61_000; nowMs < 65_000; nowMs += 10) if (agent.nextDueMs() <= nowMs) agent.tick(nowMs);
  expect(agent.hidden(65_000)).toEqual(["1"]);
});

describe("a link that flaps", () => {
  test("waits longer each time, from the second loss within a minute on, up to 30 s", () => {
    expect([1, 2, 3, 4, 5, 6, 7, 50].map((losses) => holdMs(losses))).toEqual([
      0, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
    ]);
  });

  test("does not make the answers flap", () => {
    const world = new World(4);
    world.run(3_000);
    for (let time = 0; time < 40; time++) {
      world.cut(1);
      world.run(4_500);
      world.heal();
      world.run(3_000);
    }
    // 40 losses, of which each of the three others shows no more than the first few
    expect(world.changes).toBeLessThanOrEqual(3 * 7);
    world.run(31_000);
    expect([0, 1, 2, 3].map((n) => world.hidden(n))).toEqual([[], [], [], []]);
  });

  test("whatever the network does: when it has been well for 35 s, nobody is hidden", () => {
    const faults = fc.array(
      fc.record({ from: fc.nat(3), to: fc.nat(3), ms: fc.integer({ min: 100, max: 9_000 }), isOff: fc.boolean() }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(faults, fc.nat(1000), (list, seed) => {
        const world = new World(4, seed);
        for (const { from, to, ms, isOff } of list) {
          if (isOff) world.off.add(from);
          else world.passes = (a, b) => !(a === from && b === to);
          world.run(ms);
          world.off.clear();
        }
        world.heal();
        world.run(35_000);
        expect([0, 1, 2, 3].map((n) => world.hidden(n))).toEqual([[], [], [], []]);
      }),
      { numRuns: 15 },
    );
  });
});
