import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decode, encode } from "dns-packet";
import { ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import { cidrParts, type ClusterCidr } from "../../model/cluster.ts";
import { CONTAINER_STATES, type ContainerState } from "../../model/container-record.ts";
import { systemClock } from "../../system/clock.ts";
import { AnswerCache, CACHE_BYTES } from "../forward/answer-cache.ts";
import { Forwarder } from "../forward/forwarder.ts";
import { SourceLimit } from "../forward/source-limit.ts";
import { QuestionService } from "../packets/question-service.ts";
import { COUNTER_BYTES, Counters } from "../telemetry/counters.ts";
import { Zone } from "../zone/zone.ts";
import { ZoneTable } from "../zone/zone-table.ts";
import { traceContainer, traceName } from "./trace.ts";

const CLUSTER = "10.210.0.0/16" as ClusterCidr;

interface MadeRow {
  readonly owner: string;
  readonly n: number;
  readonly project?: string;
  readonly service: string;
  readonly instance?: string;
  readonly address: string | null;
  readonly state?: ContainerState;
  readonly rev?: number;
  readonly ports?: string;
  readonly isNews?: boolean;
}

function put(zone: Zone, row: MadeRow): void {
  const place = zone.owners.place(row.owner, row.n)!;
  const facts = {
    rev: row.rev ?? 1,
    project: row.project ?? "shop",
    service: row.service,
    instance: row.instance ?? null,
    address: row.address === null ? -1 : ipv4ToNumber(parseIpv4(row.address)!),
    state: row.state ?? ("healthy" as const),
    containerId: `${row.owner.charCodeAt(0).toString(16)}${row.n}`.padEnd(64, "0"),
    ports: row.ports ?? "80/tcp",
    image: "",
  };
  if (row.isNews === true) zone.addNews(place, facts);
  else zone.set(place, facts);
}

function makeZone(): Zone {
  const zone = new Zone({ cluster: CLUSTER, localFirst: false, nowMs: () => 1_000_000 });
  zone.setServers([
    { id: "a", name: "web1", subnet: 0 },
    { id: "b", name: "home", subnet: 1 },
    { id: "c", name: "db1", subnet: 2 },
  ]);
  zone.setSelf("a");
  return zone;
}

function tableOf(zone: Zone, onTable: (table: SharedArrayBuffer) => void = () => undefined): ZoneTable {
  const pause = async (): Promise<void> => undefined;
  return new ZoneTable({ zone, seed: 7, ttlSeconds: () => 60, nowMs: () => 1_000_000, onTable, pause });
}

async function makeTable(...rows: MadeRow[]): Promise<ZoneTable> {
  const zone = makeZone();
  for (const row of rows) put(zone, row);
  const table = tableOf(zone);
  await table.rebuild();
  return table;
}

/** The part of jiji-dns that answers over TCP. */
function serviceOf(zone: Zone): QuestionService {
  return new QuestionService({
    seed: 7,
    cluster: cidrParts(CLUSTER),
    zone,
    ttlSeconds: () => 60,
    forwarder: new Forwarder({ resolvers: async () => [], clock: systemClock }),
    limit: new SourceLimit(systemClock),
    counters: new Counters(new ArrayBuffer(COUNTER_BYTES)),
    cache: new AnswerCache(new SharedArrayBuffer(CACHE_BYTES)),
    clock: systemClock,
  });
}

describe("why a name has its answer", () => {
  test("every row that spells it, with what became of it", async () => {
    const table = await makeTable(
      { owner: "a", n: 0, service: "api", address: "10.210.0.2" },
      { owner: "a", n: 1, service: "api", address: "10.210.0.3", state: "unhealthy" },
      { owner: "a", n: 2, service: "api", address: null },
      { owner: "a", n: 3, service: "api", address: "10.210.7.2" },
      { owner: "a", n: 4, service: "api", address: "10.210.0.5", state: "draining", rev: 1 },
      { owner: "a", n: 4, service: "api", address: "10.210.0.5", state: "healthy", rev: 2, isNews: true },
      { owner: "b", n: 0, service: "api", address: "10.210.1.2" },
      { owner: "stranger", n: 0, service: "api", address: "10.210.9.2" },
      { owner: "a", n: 9, service: "other", address: "10.210.0.9" },
    );
    table.zone.setHidden(new Set(["b"]));
    await table.inStep();
    const trace = traceName(table, "SHOP-api");
    expect(trace).toMatchObject({ name: "shop-api.jiji", kind: "service", means: "service api of project shop" });
    expect(trace.answer).toEqual({
      rcode: "NOERROR",
      records: [
        { type: "A", data: "10.210.0.2" },
        { type: "A", data: "10.210.0.5" },
      ],
      ttlSeconds: 60,
    });
    expect(trace.rows.map(({ server, n, source, isAnswered, why }) => [server, n, source, isAnswered, why])).toEqual([
      ["home", 0, "store", false, "its server cannot be reached from here"],
      ["stranger", 0, "store", false, "its owner is no member of the mesh"],
      ["web1", 0, "store", true, undefined],
      ["web1", 1, "store", false, "it is unhealthy"],
      ["web1", 2, "store", false, "it has no address"],
      ["web1", 3, "store", false, "its address is none of its owner's containers', so it does not count"],
      ["web1", 4, "store", false, "its owner has told of a newer one (rev 2)"],
      ["web1", 4, "news", true, undefined],
    ]);
    table.zone.setHidden(new Set(["a"]));
    await table.inStep();
    expect(traceName(table, "shop-api.jiji.").rows.find(({ server }) => server === "web1")?.why).toContain(
      "this server's agent has not compared",
    );
  });

  // dns-contract: no-merged-services
  test("a name that two services spell is the one's that sorts first, and says so", async () => {
    const table = await makeTable(
      { owner: "a", n: 0, project: "a", service: "b-c", address: "10.210.0.2" },
      { owner: "a", n: 1, project: "a-b", service: "c", address: "10.210.0.3" },
      { owner: "a", n: 2, project: "a", service: "b", instance: "c", address: "10.210.0.4" },
    );
    const trace = traceName(table, "a-b-c");
    expect(trace.answer.records).toEqual([{ type: "A", data: "10.210.0.2" }]);
    expect(trace.shadowed).toEqual([
      {
        means: "service c of project a-b",
        why: "of two services with one name, the one whose project and service sort first has it",
      },
      { means: "instance c of service b of project a", why: "a service goes before an instance" },
    ]);
    expect(trace.rows.map(({ isAnswered, why }) => [isAnswered, why])).toEqual([
      [true, undefined],
      [false, expect.stringContaining("a-b-c.jiji means service b-c of project a: of two services")],
      [false, expect.stringContaining("a-b-c.jiji means service b-c of project a: a service goes before")],
    ]);
    // The instance is answered under its service's name, and its own row says where it is not.
    const [row] = traceContainer(table.zone, trace.rows[2]!.containerId);
    expect(row).toMatchObject({
      isAnswered: true,
      names: [
        { name: "a-b.jiji", isHeld: true },
        { name: "a-b-c.jiji", isHeld: false },
      ],
    });
  });

  test("names that are no service's", async () => {
    const table = await makeTable({ owner: "a", n: 0, service: "api", address: "10.210.0.2", instance: "one" });
    const kindOf = (name: string) => {
      const { kind, answer } = traceName(table, name);
      return [kind, answer.rcode, ...answer.records.map(({ data }) => data)];
    };
    expect(kindOf("jiji")).toEqual(["apex", "NOERROR"]);
    expect(kindOf("server.jiji")).toEqual(["branch", "NOERROR"]);
    expect(kindOf("home.server.jiji")).toEqual(["server", "NOERROR", "10.210.1.1"]);
    expect(kindOf("ns.jiji")).toEqual(["server", "NOERROR", "10.210.0.1"]);
    expect(kindOf("nobody.server.jiji")).toEqual(["nothing", "NXDOMAIN"]);
    expect(kindOf("below.shop-api.jiji")).toEqual(["nothing", "NXDOMAIN"]);
    expect(kindOf("shop-apj")).toEqual(["nothing", "NXDOMAIN"]);
    expect(kindOf("example.com")).toEqual(["elsewhere", null]);
    expect(kindOf("10.210.0.2")).toEqual(["address", "NOERROR", "shop-api-one.jiji"]);
    expect(kindOf("2.0.210.10.in-addr.arpa")).toEqual(["address", "NOERROR", "shop-api-one.jiji"]);
    expect(kindOf("10.210.0.3")).toEqual(["nothing", "NXDOMAIN"]);
    expect(kindOf("192.0.2.1")).toEqual(["elsewhere", null]);
    expect(kindOf("_80._tcp.shop-api.jiji")).toEqual(["port", "NOERROR", "0 0 80 shop-api-one.jiji"]);
    expect(kindOf("_81._tcp.shop-api.jiji")).toEqual(["nothing", "NXDOMAIN"]);
    expect(kindOf("\u0000\u202e.jiji")).toEqual(["nothing", "NXDOMAIN"]);
    expect(kindOf("_tcp.shop-api.jiji")).toEqual(["branch", "NOERROR"]);
    expect(kindOf("210.10.in-addr.arpa")).toEqual(["branch", "NOERROR"]);
    expect(kindOf("пример.рф")).toEqual(["elsewhere", null]);
    expect(kindOf(`${"x".repeat(64)}.jiji`)).toEqual(["nothing", "NXDOMAIN"]);
    const before = traceName(tableOf(table.zone), "shop-api");
    expect(before).toMatchObject({ kind: "service", answer: { rcode: "SERVFAIL", records: [], ttlSeconds: null } });
    expect(traceName(tableOf(table.zone), "web1.server.jiji").means).toBe("no name is known yet");
  });

  test("says of any rows exactly what the server answers, and why", async () => {
    const label = fc.constantFrom("a", "b", "a-b", "b-a");
    const row = fc.record({
      owner: fc.constantFrom("a", "b", "c", "d"),
      n: fc.integer({ min: 0, max: 4 }),
      project: label,
      service: label,
      instance: fc.option(label, { nil: undefined }),
      address: fc.option(
        fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 5 })).map(([s, h]) => `10.210.${s}.${h}`),
      ),
      state: fc.constantFrom(...CONTAINER_STATES),
      rev: fc.integer({ min: 1, max: 5 }),
      ports: fc.constantFrom("", "80/tcp", "80/udp 81/tcp"),
      isNews: fc.boolean(),
    });
    const words = ["web1.server.jiji", "nobody.server.jiji", "server.jiji", "ns.jiji", "jiji", "no-such.jiji"];
    const reverse = ["1.0.210.10", "2.0.210.10", "3.1.210.10", "1.210.10", "9.210.10", "210.10", "9.9.210.10"];
    const others = [...words, ...reverse.map((octets) => `${octets}.in-addr.arpa`), "example.com"];
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 25 }),
        fc.array(row, { maxLength: 5 }),
        fc.subarray(["a", "b", "c"]),
        async (rows, later, hidden) => {
          const zone = makeZone();
          const service = serviceOf(zone);
          const table = tableOf(zone, (written) => service.useTable(written));
          for (const each of rows) put(zone, each as MadeRow);
          await table.rebuild();
          // These reach the table as changes of it.
          for (const each of later) put(zone, each as MadeRow);
          zone.setHidden(new Set(hidden));
          await table.inStep();
          for (const name of [...namesOf([...rows, ...later]), ...others]) await compare(table, service, name);
        },
      ),
      { numRuns: 40 },
    );
  });
});

function namesOf(rows: readonly { project: string; service: string; instance: string | undefined }[]): Set<string> {
  const labels = rows.flatMap(({ project, service, instance }) => [
    `${project}-${service}`,
    ...(instance === undefined ? [] : [`${project}-${service}-${instance}`]),
  ]);
  const ports = ["", "_80._tcp.", "_81._tcp.", "_80._udp.", "_tcp."];
  return new Set(labels.flatMap((label) => ports.map((port) => `${port}${label}.jiji`)));
}

/** Asks the server the traced question, and holds the trace to what it says. */
async function compare(table: ZoneTable, service: QuestionService, name: string): Promise<void> {
  const { answer, rows } = traceName(table, name);
  const type = /^_\d/.test(name) ? "SRV" : name.endsWith(".arpa") ? "PTR" : "A";
  const message = encode({ type: "query", id: 1, questions: [{ type, name }] });
  const real = decode(Buffer.from((await service.answer(message, 0x7f000001, true))!)) as ReturnType<typeof decode> & {
    readonly rcode: string;
  };
  expect(rows.every(({ isAnswered, why }) => isAnswered === (why === undefined))).toBe(true);
  if (answer.rcode === null) {
    // Nobody is there to forward it to.
    expect([name, real.rcode]).toEqual([name, "SERVFAIL"]);
    return;
  }
  const dataOf = (records: typeof real.answers): string[] =>
    (records ?? []).flatMap((each) => {
      if (each.type === "A" || each.type === "PTR") return [each.data];
      return each.type === "SRV" ? [`0 0 ${each.data.port} ${each.data.target}`] : [];
    });
  const addresses = dataOf(type === "SRV" ? real.additionals : real.answers);
  expect([name, answer.rcode, ...answer.records.map(({ data }) => data).toSorted()]).toEqual([
    ...[name, real.rcode],
    ...dataOf(real.answers).toSorted(),
  ]);
  const [first] = [...(real.answers ?? []), ...(real.authorities ?? [])] as { readonly ttl?: number }[];
  expect(answer.ttlSeconds).toBe(first?.ttl ?? null);
  if (rows.length === 0 || type === "PTR") return;
  const answered = rows.flatMap(({ isAnswered, address }) => (isAnswered ? [address ?? ""] : []));
  expect([...new Set(answered)].toSorted()).toEqual([...new Set(addresses)].toSorted());
}
