import { describe, expect, test } from "bun:test";
import { decode } from "dns-packet";
import fc from "fast-check";
import { answerText, sortedAnswer } from "./dns-answer-text.ts";
import { DnsModel, type ModelAnswer, type ModelServer } from "./dns-model.ts";
import { encodeContainerRecord } from "../../src/model/container-record.ts";
import { parseClusterCidr } from "../../src/model/cluster.ts";
import { AnswerCache, CACHE_BYTES } from "../../src/dns/forward/answer-cache.ts";
import { readFacts } from "../../src/dns/zone/container-rows.ts";
import { COUNTER_BYTES, Counters } from "../../src/dns/telemetry/counters.ts";
import { Forwarder } from "../../src/dns/forward/forwarder.ts";
import { QuestionService } from "../../src/dns/packets/question-service.ts";
import { SourceLimit } from "../../src/dns/forward/source-limit.ts";
import { systemClock } from "../../src/system/clock.ts";
import { encodeName, TYPE } from "../../src/dns/wire/wire.ts";
import { Zone } from "../../src/dns/zone/zone.ts";
import { ZoneTable } from "../../src/dns/zone/zone-table.ts";
import { cidrParts } from "../../src/model/cluster.ts";

const TYPES: Readonly<Record<string, number>> = { ...TYPE, MX: 15, DS: 43, HTTPS: 65, OPT: 16 };
const TTL = 45;
const RD = 0x100;

/** The zone, its table and what answers from both, beside the model. */
class Pair {
  readonly model: DnsModel;
  readonly zone: Zone;
  readonly table: ZoneTable;
  readonly service: QuestionService;

  constructor(prefix: 16 | 24, localFirst: boolean) {
    const cluster = parseClusterCidr(`10.210.0.0/${prefix}`)!;
    const model = (this.model = new DnsModel([10, 210], prefix));
    const nowMs = (): number => model.nowMs;
    this.zone = new Zone({ cluster, localFirst, nowMs });
    this.table = new ZoneTable({
      zone: this.zone,
      seed: 5,
      ttlSeconds: () => TTL,
      nowMs,
      onTable: (table) => this.service.useTable(table),
      pause: async () => undefined,
    });
    this.service = new QuestionService({
      seed: 5,
      cluster: cidrParts(cluster),
      zone: this.zone,
      ttlSeconds: () => TTL,
      forwarder: new Forwarder({ resolvers: async () => [], clock: systemClock }),
      limit: new SourceLimit(systemClock),
      counters: new Counters(new ArrayBuffer(COUNTER_BYTES)),
      cache: new AnswerCache(new SharedArrayBuffer(CACHE_BYTES)),
      clock: systemClock,
    });
  }

  /** What the real one says, in the model's words. */
  async ask(name: string, type: string): Promise<ModelAnswer> {
    const wire = encodeName(name)!;
    const message = new Uint8Array(12 + wire.length + 4);
    const view = new DataView(message.buffer);
    view.setUint16(0, 4711);
    view.setUint16(2, RD);
    view.setUint16(4, 1);
    message.set(wire, 12);
    view.setUint16(12 + wire.length, TYPES[type]!);
    view.setUint16(14 + wire.length, 1);
    const bytes = Buffer.from((await this.service.answer(message, 0x7f000001, true))!);
    expect(bytes.readUInt16BE(0)).toBe(4711);
    expect(bytes.subarray(12, 12 + wire.length + 4)).toEqual(Buffer.from(message.subarray(12)));
    const decoded = decode(bytes);
    const { flag_aa, flag_qr, flag_tc, flag_ra, flag_rd, answers, authorities, additionals } = decoded;
    const said = answerText(decoded);
    if (said.rcode === "FORWARD") return said;
    expect({ flag_aa, flag_qr, flag_tc, flag_ra, flag_rd }).toEqual({
      flag_aa: true,
      flag_qr: true,
      flag_tc: false,
      flag_ra: true,
      flag_rd: true,
    });
    for (const { name: owner } of answers!) expect(owner).toBe(name === "" ? "." : name);
    for (const one of [...answers!, ...additionals!] as { type: string; ttl: number }[])
      if (one.type !== "SOA") expect(one.ttl).toBe(TTL);
    const [soa] = authorities! as { type: string; name: string; ttl: number; data: { minimum: number } }[];
    expect(authorities!.length).toBe(soa === undefined ? 0 : 1);
    // RFC 2308: the SOA's TTL is what a resolver may keep the answer for.
    if (soa !== undefined) expect([soa.type, soa.ttl, soa.data.minimum]).toEqual(["SOA", 5, 5]);
    return said;
  }

  async compare(name: string, type: string): Promise<void> {
    const expected = this.model.answer(name.toLowerCase(), type);
    expect({ name, type, ...(await this.ask(name, type)) }).toEqual({ name, type, ...sortedAnswer(expected) });
  }
}

const SERVERS: readonly ModelServer[] = [
  { id: "s".repeat(20), name: "web1", subnet: 0 },
  { id: "t".repeat(20), name: "web2", subnet: 1 },
  { id: "u".repeat(20), name: "home", subnet: 7 },
  { id: "v".repeat(20), name: "db1", subnet: 254 },
];

const PROJECTS = ["a", "a-b", "shop"];
const SERVICES = ["b", "b-c", "c", "web"];
const INSTANCES = [null, "1", "b", "c"];
const PORTS = [
  { port: 80, protocol: "tcp" },
  { port: 443, protocol: "tcp" },
  { port: 53, protocol: "udp" },
];

const record = (serverSubnet: number, nowMs: number) =>
  fc
    .record({
      id: fc.integer({ min: 0, max: 15 }),
      project: fc.constantFrom(...PROJECTS, "p".repeat(40)),
      service: fc.constantFrom(...SERVICES, "s".repeat(30)),
      instance: fc.constantFrom(...INSTANCES),
      address: fc.constantFrom(
        null,
        ...[2, 3, 4, 254, 1, 255].map((host) => `10.210.${serverSubnet}.${host}`),
        "10.210.1.9",
        "192.0.2.1",
      ),
      state: fc.constantFrom("healthy", "healthy", "healthy", "unhealthy", "draining", "stopped", "starting"),
      ports: fc.subarray(PORTS),
      meta: fc.constantFrom({}, { image: "busybox" }, { image: "x", note: "told nowhere" }),
      rev: fc.constantFrom(1, 2, 3, 4, 5, nowMs, nowMs + 2 * 86_400_000),
    })
    .map(({ id, ...facts }) =>
      encodeContainerRecord({ containerId: id.toString(16).repeat(64).slice(0, 64), ...facts } as never),
    );

const badRecord = fc.constantFrom("", "{", "null", '{"containerId":"x"}', '{"rev":1}', "[]", "x".repeat(20_000));

const rowOf = (nowMs: number) =>
  fc
    .constantFrom(...SERVERS)
    .chain(({ id, subnet }) =>
      fc.tuple(
        fc.constantFrom(id, id, id, "stranger"),
        fc.integer({ min: 0, max: 3 }),
        fc.oneof({ weight: 6, arbitrary: record(subnet, nowMs) }, badRecord),
      ),
    );

/** The server as it is, renamed, or with another number. */
const memberLike = (server: ModelServer) =>
  fc.constantFrom(server, server, { ...server, name: `${server.name}-new` }, { ...server, subnet: server.subnet ^ 2 });

const NOW_MS = 1_700_000_000_000;
const step = fc.oneof(
  { weight: 6, arbitrary: rowOf(NOW_MS).map((row) => ({ do: "set", row }) as const) },
  { weight: 2, arbitrary: rowOf(NOW_MS).map((row) => ({ do: "remove", row }) as const) },
  { weight: 3, arbitrary: rowOf(NOW_MS).map((row) => ({ do: "news", row }) as const) },
  {
    weight: 1,
    arbitrary: fc.array(rowOf(NOW_MS), { maxLength: 12 }).map((rows) => ({ do: "snapshot", rows }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .subarray([...SERVERS])
      .chain((servers) => fc.tuple(...servers.map(memberLike)))
      .map((servers) => ({ do: "servers", servers }) as const),
  },
  { weight: 1, arbitrary: fc.subarray(SERVERS.map(({ id }) => id)).map((ids) => ({ do: "hide", ids }) as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...SERVERS.map(({ id }) => id), undefined).map((id) => ({ do: "self", id }) as const),
  },
  { weight: 1, arbitrary: fc.constantFrom(1_000, 31_000).map((ms) => ({ do: "wait", ms }) as const) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function apply({ model, zone, table }: Pair, one: Step, isLarge: boolean): Promise<void> {
  const serversOf = (servers: readonly ModelServer[]) =>
    isLarge ? servers : servers.filter(({ subnet }) => subnet === 0);
  switch (one.do) {
    case "set":
    case "remove": {
      const [id, n, text] = one.row;
      const place = zone.owners.place(id, n)!;
      model.set(id, n, one.do === "set" ? text : undefined);
      zone.set(place, one.do === "set" ? readFacts(text) : undefined);
      break;
    }
    case "news": {
      const [id, n, text] = one.row;
      const facts = readFacts(text);
      model.tell(id, n, text);
      if (facts !== undefined) zone.addNews(zone.owners.place(id, n)!, facts);
      break;
    }
    case "snapshot": {
      const rows = new Map(one.rows.map((row) => [`${row[0]}/${row[1]}`, row]));
      model.snapshot([...rows.values()]);
      zone.beginSnapshot(true);
      for (const [id, n, text] of rows.values()) zone.snapshotRow(zone.owners.place(id, n)!, readFacts(text));
      await zone.endSnapshot(async () => undefined);
      break;
    }
    case "servers":
      model.servers = serversOf(one.servers);
      zone.setServers(one.servers);
      break;
    case "hide":
      model.hidden = new Set(one.ids);
      zone.setHidden(model.hidden);
      break;
    case "self":
      model.self = one.id;
      zone.setSelf(one.id);
      break;
    case "wait":
      model.nowMs += one.ms;
      model.forgetOldNews();
      zone.dropOldNews();
      break;
  }
  table.flush();
}

const LABELS = [
  ...new Set(
    PROJECTS.flatMap((p) =>
      SERVICES.flatMap((s) => INSTANCES.map((i) => [p, s, ...(i === null ? [] : [i])].join("-"))),
    ),
  ),
  `${"p".repeat(40)}-b`,
];

const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...LABELS).map((label) => `${label}.jiji`) },
  { weight: 2, arbitrary: fc.constantFrom(...LABELS).map((label) => `${label}.JiJi`.replace("a", "A")) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom(
          "_80._tcp",
          "_443._tcp",
          "_53._udp",
          "_tcp",
          "_udp",
          "_80._udp",
          "_080._tcp",
          "x._80._tcp",
          "_80",
          "www",
          "_sctp",
        ),
        fc.constantFrom(...LABELS),
      )
      .map(([prefix, label]) => `${prefix}.${label}.jiji`),
  },
  fc.constantFrom(
    "jiji",
    "ns.jiji",
    "server.jiji",
    "nothing.jiji",
    "xjiji",
    "x.server.jiji",
    "a.web1.server.jiji",
    "_tcp.server.jiji",
    "_80._tcp.ns.jiji",
  ),
  fc.constantFrom(...SERVERS).map(({ name: server }) => `${server}.server.jiji`),
  fc.constantFrom(...SERVERS).map(({ name: server }) => `${server}-new.server.jiji`),
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom(1, 2, 3, 4, 9, 254, 255, 0), fc.constantFrom(0, 1, 7, 254, 2))
      .map(([host, subnet]) => `${host}.${subnet}.210.10.in-addr.arpa`),
  },
  fc.constantFrom(
    "210.10.in-addr.arpa",
    "0.210.10.in-addr.arpa",
    "7.210.10.in-addr.arpa",
    "9.210.10.in-addr.arpa",
    "02.0.210.10.in-addr.arpa",
    "1.2.0.210.10.in-addr.arpa",
    "x.0.210.10.in-addr.arpa",
    "10.in-addr.arpa",
    "211.10.in-addr.arpa",
    "2.0.211.10.in-addr.arpa",
    "256.0.210.10.in-addr.arpa",
  ),
);
const type = fc.constantFrom(
  "A",
  "A",
  "A",
  "AAAA",
  "SRV",
  "TXT",
  "PTR",
  "SOA",
  "NS",
  "ANY",
  "MX",
  "DS",
  "HTTPS",
  "CNAME",
);

describe("jiji-dns and a slow, obvious answerer", () => {
  // dns-contract: model-agrees
  test("agree on every question after every change of rows, news, members and reachability (property)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.boolean(),
        fc.array(fc.tuple(step, fc.array(fc.tuple(name, type), { maxLength: 4 })), { minLength: 5, maxLength: 40 }),
        async (isLarge, localFirst, steps) => {
          const pair = new Pair(isLarge ? 16 : 24, localFirst);
          pair.model.servers = SERVERS.filter(({ subnet }) => isLarge || subnet === 0);
          pair.zone.setServers(SERVERS);
          await pair.table.rebuild();
          for (const [one, questions] of steps) {
            await apply(pair, one, isLarge);
            for (const [asked, askedType] of questions) await pair.compare(asked, askedType);
          }
          for (const label of LABELS) {
            for (const asked of ["A", "TXT", "AAAA"]) await pair.compare(`${label}.jiji`, asked);
            await pair.compare(`_80._tcp.${label}.jiji`, "SRV");
          }
          for (const host of [1, 2, 3, 4, 254]) await pair.compare(`${host}.0.210.10.in-addr.arpa`, "PTR");
          // A table that is written anew says the same.
          await pair.table.rebuild();
          for (const label of LABELS) await pair.compare(`${label}.jiji`, "A");
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);
});
