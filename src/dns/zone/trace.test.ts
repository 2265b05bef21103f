import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ipv4FromNumber, ipv4ToNumber, parseIpv4 } from "../../model/address.ts";
import type { ClusterCidr } from "../../model/cluster.ts";
import { CONTAINER_STATES, type ContainerState } from "../../model/container-record.ts";
import { NONE } from "./name-claims.ts";
import { traceContainer, traceName } from "./trace.ts";
import { Zone } from "./zone.ts";

const CONTEXT = { ttlSeconds: 60, hasTable: true };

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
    version: "",
  };
  if (row.isNews === true) zone.addNews(place, facts);
  else zone.set(place, facts);
}

function makeZone(...rows: MadeRow[]): Zone {
  const zone = new Zone({ cluster: "10.210.0.0/16" as ClusterCidr, localFirst: false, nowMs: () => 1_000_000 });
  zone.setServers([
    { id: "a", name: "web1", subnet: 0 },
    { id: "b", name: "home", subnet: 1 },
    { id: "c", name: "db1", subnet: 2 },
  ]);
  zone.setSelf("a");
  for (const row of rows) put(zone, row);
  return zone;
}

describe("why a name has its answer", () => {
  test("every row that spells it, with what became of it", () => {
    const zone = makeZone(
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
    zone.setHidden(new Set(["b"]));
    const trace = traceName(zone, "SHOP-api", CONTEXT);
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
    zone.setHidden(new Set(["a"]));
    expect(traceName(zone, "shop-api.jiji.", CONTEXT).rows.find(({ server }) => server === "web1")?.why).toContain(
      "this server's agent has not compared",
    );
  });

  test("a name that two services spell is the one's that sorts first, and says so", () => {
    const zone = makeZone(
      { owner: "a", n: 0, project: "a", service: "b-c", address: "10.210.0.2" },
      { owner: "a", n: 1, project: "a-b", service: "c", address: "10.210.0.3" },
      { owner: "a", n: 2, project: "a", service: "b", instance: "c", address: "10.210.0.4" },
    );
    const trace = traceName(zone, "a-b-c", CONTEXT);
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
    const [row] = traceContainer(zone, trace.rows[2]!.containerId);
    expect(row).toMatchObject({
      isAnswered: true,
      names: [
        { name: "a-b.jiji", isHeld: true },
        { name: "a-b-c.jiji", isHeld: false },
      ],
    });
  });

  test("names that are no service's", () => {
    const zone = makeZone({ owner: "a", n: 0, service: "api", address: "10.210.0.2", instance: "one" });
    const kindOf = (name: string) => {
      const { kind, answer } = traceName(zone, name, CONTEXT);
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
    expect(traceName(zone, "shop-api", { ...CONTEXT, hasTable: false }).answer.rcode).toBe("SERVFAIL");
  });

  test("says of any rows exactly what the zone answers", () => {
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
      isNews: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 25 }), fc.subarray(["a", "b", "c"]), (rows, hidden) => {
        const zone = makeZone();
        for (const each of rows) put(zone, each as MadeRow);
        zone.setHidden(new Set(hidden));
        const labels = new Set(
          rows.flatMap(({ project, service, instance }) => [
            `${project}-${service}`,
            ...(instance === undefined ? [] : [`${project}-${service}-${instance}`]),
          ]),
        );
        for (const name of labels) {
          const { answer, rows: traced } = traceName(zone, name, CONTEXT);
          const claim = zone.claims.winner(name);
          const expected =
            claim === NONE ? [] : zone.answer(claim).addresses.map((address) => String(ipv4FromNumber(address)));
          expect(answer.rcode).toBe(claim === NONE ? "NXDOMAIN" : "NOERROR");
          expect(answer.records.map(({ data }) => data)).toEqual(expected);
          const answered = traced.flatMap(({ isAnswered, address }) => (isAnswered ? [address ?? ""] : []));
          expect([...new Set(answered)].toSorted()).toEqual(expected.toSorted());
          expect(traced.every(({ isAnswered, why }) => isAnswered === (why === undefined))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});
