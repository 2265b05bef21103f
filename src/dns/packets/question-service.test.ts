import { describe, expect, test } from "bun:test";
import { decode, encode, type Packet, type StringAnswer } from "dns-packet";
import { addressOf, FakeResolver } from "../../../test/fake-resolver.ts";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { cidrParts, parseClusterCidr } from "../../model/cluster.ts";
import { systemClock } from "../../system/clock.ts";
import { AnswerCache, CACHE_BYTES } from "../forward/answer-cache.ts";
import { COUNTER_BYTES, Counters } from "../telemetry/counters.ts";
import { Forwarder } from "../forward/forwarder.ts";
import { QuestionService } from "./question-service.ts";
import { SourceLimit } from "../forward/source-limit.ts";
import type { ContainerFacts } from "../zone/container-rows.ts";
import { Zone } from "../zone/zone.ts";
import { ZoneTable } from "../zone/zone-table.ts";

interface Made {
  readonly zone: Zone;
  readonly counters: Counters;
  readonly service: QuestionService;
  /** Has a table written from the zone as it is. */
  readonly rebuild: () => Promise<void>;
  readonly put: (n: number, facts: Partial<Omit<ContainerFacts, "address">> & { readonly address: string }) => void;
  readonly ask: (
    name: string,
    type: string,
    how?: { readonly payload?: number; readonly isTcp?: boolean },
  ) => Promise<Said>;
}

type Said = ReturnType<typeof decode> & { readonly rcode: string; readonly octets: number };

const LOOPBACK = 0x7f000001;

/** A service with a zone of one server, web1, and no resolvers unless a forwarder is given. */
function make(
  cidr = "10.210.0.0/16",
  clock = systemClock,
  forwarder = new Forwarder({ resolvers: async () => [], clock }),
): Made {
  const cluster = parseClusterCidr(cidr)!;
  const zone = new Zone({ cluster, localFirst: false, nowMs: () => 0 });
  zone.setServers([{ id: "a", name: "web1", subnet: 0 }]);
  const counters = new Counters(new ArrayBuffer(COUNTER_BYTES));
  const service: QuestionService = new QuestionService({
    seed: 1,
    cluster: cidrParts(cluster),
    zone,
    ttlSeconds: () => 60,
    forwarder,
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
  return {
    zone,
    counters,
    service,
    rebuild: () => table.rebuild(),
    put: (n, { address, ...facts }) =>
      zone.set(zone.owners.place("a", n)!, {
        ...{ rev: 1, project: "shop", service: "web", instance: null, state: "healthy" as const },
        containerId: n.toString(16).padStart(12, "c").padEnd(64, "0"),
        ...{ ports: "80/tcp", image: "" },
        address: ipv4ToNumber(parseIpv4(address)!),
        ...facts,
      }),
    ask: async (name, type, { payload, isTcp = false } = {}) => {
      const opt = { type: "OPT", name: ".", udpPayloadSize: payload, flags: 0 };
      const more = (payload === undefined ? {} : { additionals: [opt] }) as Packet;
      const message = encode({ type: "query", id: 1, questions: [{ type: type as "A", name }], ...more });
      const answer = Buffer.from((await service.answer(message, LOOPBACK, isTcp))!);
      return Object.assign(decode(answer), { octets: answer.length }) as Said;
    },
  };
}

const dataOf = (said: Said) => (said.answers as StringAnswer[]).map(({ data }) => data);

// dns-contract: source-bound-slow
test("answers that take long are bounded per source, and another source is not touched", async () => {
  // Each look at the clock takes 5 ms, so each answer of the zone seems to take as long.
  const state = { nowMs: 0, stepMs: 5 };
  const clock = { ...systemClock, monotonicMs: () => (state.nowMs += state.stepMs) };
  const { service, counters, rebuild } = make("10.210.0.0/16", clock);
  await rebuild();
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

describe("SRV and TXT", () => {
  // dns-contract: txt
  test("TXT says of each container its id, server, ports, and its image if it is known", async () => {
    const { put, rebuild, ask } = make();
    put(1, { address: "10.210.0.3", ports: "80/tcp 53/udp", image: "shop/web:2" });
    put(2, { address: "10.210.0.2", ports: "" });
    put(3, { address: "10.210.0.4", state: "unhealthy" });
    await rebuild();
    const said = await ask("Shop-Web.jiji", "TXT");
    expect(said).toMatchObject({ rcode: "NOERROR", flag_aa: true, authorities: [], additionals: [] });
    expect(said.answers).toMatchObject([
      { name: "Shop-Web.jiji", type: "TXT", ttl: 60 },
      { name: "Shop-Web.jiji", type: "TXT", ttl: 60 },
    ]);
    expect((said.answers as { data: Buffer[] }[]).map(({ data }) => data.map(String))).toEqual([
      ["container=ccccccccccc2", "server=web1"],
      ["container=ccccccccccc1", "server=web1", "ports=80/tcp,53/udp", "image=shop/web:2"],
    ]);
  });

  // dns-contract: srv
  test("SRV says where the port is: the narrowest names that lead there, and their addresses", async () => {
    const { put, rebuild, ask } = make();
    put(1, { address: "10.210.0.2" });
    put(2, { address: "10.210.0.3", instance: "b" });
    put(3, { address: "10.210.0.4", instance: "b" });
    put(4, { address: "10.210.0.5", instance: "c", ports: "81/tcp 80/udp" });
    put(5, { address: "10.210.0.6", instance: "d", state: "unhealthy" });
    await rebuild();
    const said = await ask("_80._tcp.shop-web.jiji", "SRV");
    expect(said).toMatchObject({ rcode: "NOERROR", flag_aa: true, authorities: [] });
    expect(said.answers).toMatchObject([
      { type: "SRV", ttl: 60, data: { priority: 0, weight: 0, port: 80, target: "shop-web.jiji" } },
      { type: "SRV", ttl: 60, data: { priority: 0, weight: 0, port: 80, target: "shop-web-b.jiji" } },
    ]);
    expect(said.answers).toHaveLength(2);
    const places = said.additionals as StringAnswer[];
    expect(places.map(({ type, name, ttl, data }) => [type as string, name, ttl, data])).toEqual([
      ["A", "shop-web.jiji", 60, "10.210.0.2"],
      ["A", "shop-web-b.jiji", 60, "10.210.0.3"],
      ["A", "shop-web-b.jiji", 60, "10.210.0.4"],
    ]);
  });

  // dns-contract: srv
  test("addresses of places that do not fit are left out, and the answer is whole without them (RFC 2181 §9)", async () => {
    const { put, rebuild, ask } = make();
    for (let n = 0; n < 8; n++) put(n, { address: `10.210.0.${n + 2}`, instance: `i${n}` });
    await rebuild();
    const name = "_80._tcp.shop-web.jiji";
    const whole = await ask(name, "SRV", { payload: 1232 });
    expect(whole).toMatchObject({ flag_tc: false });
    expect([whole.answers!.length, whole.additionals!.length]).toEqual([8, 8 + 1]);
    const short = await ask(name, "SRV");
    expect(short).toMatchObject({ flag_tc: false, additionals: [] });
    expect(short.answers).toHaveLength(8);
    expect(short.octets).toBeLessThanOrEqual(512);
    expect(whole.octets).toBeGreaterThan(512);
  });

  // dns-contract: srv, txt
  test("at most 32 containers are described, and 64 places named, however many there are", async () => {
    const { put, rebuild, ask } = make();
    for (let n = 0; n < 200; n++) put(n, { address: `10.210.0.${n + 2}`, instance: `i${n}` });
    await rebuild();
    const texts = await ask("shop-web.jiji", "TXT", { isTcp: true });
    expect(texts).toMatchObject({ rcode: "NOERROR", flag_tc: false });
    expect(texts.answers).toHaveLength(32);
    const places = await ask("_80._tcp.shop-web.jiji", "SRV", { isTcp: true });
    expect(places).toMatchObject({ rcode: "NOERROR", flag_tc: false });
    expect([places.answers!.length, places.additionals!.length]).toEqual([64, 64]);
    // Over UDP that is too much, and TCP is where it is.
    expect(await ask("_80._tcp.shop-web.jiji", "SRV", { payload: 1232 })).toMatchObject({ flag_tc: true, answers: [] });
  });

  test("a place that is named has all its addresses, also beyond 64", async () => {
    const { put, rebuild, ask } = make();
    for (let n = 0; n < 200; n++) put(n, { address: `10.210.0.${n + 2}` });
    await rebuild();
    const places = await ask("_80._tcp.shop-web.jiji", "SRV", { isTcp: true });
    expect([places.answers!.length, places.additionals!.length]).toEqual([1, 200]);
  });
});

describe("PTR", () => {
  // dns-contract: ptr
  test("an address has its instance's name, else its service's, else none", async () => {
    const { zone, put, rebuild, ask } = make();
    put(1, { address: "10.210.0.2", instance: "one" });
    put(2, { address: "10.210.0.3" });
    await rebuild();
    expect(dataOf(await ask("2.0.210.10.in-addr.arpa", "PTR"))).toEqual(["shop-web-one.jiji"]);
    expect(dataOf(await ask("3.0.210.10.in-addr.arpa", "PTR"))).toEqual(["shop-web.jiji"]);
    expect(dataOf(await ask("1.0.210.10.in-addr.arpa", "PTR"))).toEqual(["web1.server.jiji"]);
    // Another service has the instance's name, so the service's is the narrowest that leads there.
    put(3, { address: "10.210.0.4", service: "web-one" });
    await rebuild();
    expect(dataOf(await ask("2.0.210.10.in-addr.arpa", "PTR"))).toEqual(["shop-web.jiji"]);
    zone.set(zone.owners.place("a", 1)!, undefined);
    await rebuild();
    expect(await ask("2.0.210.10.in-addr.arpa", "PTR")).toMatchObject({ rcode: "NXDOMAIN", flag_aa: true });
  });

  // dns-contract: ptr
  test.each([
    ["10.0.0.0/8", ["10"]],
    ["172.16.0.0/12", ["16.172", "24.172", "31.172"]],
    ["10.210.0.0/16", ["210.10"]],
    ["10.210.32.0/20", ["32.210.10", "40.210.10", "47.210.10"]],
    ["192.168.5.0/24", ["5.168.192"]],
  ])("no name of a cluster %s is forwarded, whatever its type, and no other one is answered", async (cidr, zones) => {
    const { put, rebuild, ask } = make(cidr);
    const { first, prefix } = cidrParts(parseClusterCidr(cidr)!);
    const end = first + 2 ** (32 - prefix);
    const nameOf = (address: number) => `${ipv4FromNumber(address).split(".").toReversed().join(".")}.in-addr.arpa`;
    put(1, { address: ipv4FromNumber(first + 2) });
    await rebuild();
    const own = [0, 1, 2, 3, 255, (end - first) / 2, end - first - 1].map((distance) => nameOf(first + distance));
    const around = zones.flatMap((zone) =>
      ["", "0.", "255.", "9.9.9.9.", "x.", "256."].map((label) => `${label}${zone}.in-addr.arpa`),
    );
    for (const name of [...own, ...around]) {
      // With no resolver to ask, what is forwarded fails.
      for (const type of ["PTR", "A", "NS", "SOA", "ANY", "TXT"]) {
        const { rcode, flag_aa } = await ask(name, type);
        expect({ name, type, rcode, flag_aa }).toEqual({
          name,
          type,
          rcode: rcode === "NXDOMAIN" ? rcode : "NOERROR",
          flag_aa: true,
        });
      }
    }
    expect(dataOf(await ask(nameOf(first + 2), "PTR"))).toEqual(["shop-web.jiji"]);
    expect(dataOf(await ask(nameOf(first + 1), "PTR"))).toEqual(["web1.server.jiji"]);
    expect(await ask(nameOf(first + 3), "PTR")).toMatchObject({ rcode: "NXDOMAIN" });
    for (const address of [first - 1, end])
      expect(await ask(nameOf(address), "PTR")).toMatchObject({ rcode: "SERVFAIL" });
    expect(await ask("in-addr.arpa", "PTR")).toMatchObject({ rcode: "SERVFAIL" });
  });
});

// dns-contract: in-flight-cap
test("questions beyond what resolvers may be asked at once, and those that none answers, fail with SERVFAIL", async () => {
  const upstream = await FakeResolver.start();
  upstream.onQuestion = () => undefined;
  const limits = { maxInFlight: 10, deadlineMs: 500 };
  const forwarder = new Forwarder({ resolvers: async () => [upstream.endpoint], clock: systemClock, ...limits });
  try {
    const { ask, counters } = make("10.210.0.0/16", systemClock, forwarder);
    const asked = Array.from({ length: 30 }, (_, i) => ask(`n${i}.example`, "A", { payload: 1232 }));
    const failed = { rcode: "SERVFAIL", id: 1, flag_aa: false, flag_tc: false, answers: [], authorities: [] };
    for (const said of await Promise.all(asked.slice(10))) {
      expect(said).toMatchObject({ ...failed, additionals: [{ type: "OPT" }] });
    }
    expect(forwarder.counts).toMatchObject({ overload: 20, inFlight: 10 });
    for (const said of await Promise.all(asked)) expect(said).toMatchObject(failed);
    expect(counters.get("answersServfail")).toBe(30);
    upstream.onQuestion = (one) => one.answer({ answers: [addressOf(one, "192.0.2.1")] });
    expect(dataOf(await ask("later.example", "A"))).toEqual(["192.0.2.1"]);
  } finally {
    forwarder.close();
    upstream.close();
  }
});
