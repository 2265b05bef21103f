import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseDeployConfig } from "../config/parse-deploy-config.ts";
import type { DeployConfig } from "../config/deploy-config.ts";
import { formatFinding, type Finding } from "../model/finding.ts";
import { capacity, parseClusterCidr, serverAddress, type ClusterCidr } from "../model/cluster.ts";
import type { NodeFacts } from "../model/node/observe.ts";
import { OWN_PORTS, type OwnPort } from "../model/ports.ts";
import { ABSENT, found, unknown } from "../model/reading.ts";
import { joinedFacts, makeMember, makeServer, makeSpec, madeRelease, signAgain } from "../../test/mesh-makers.ts";
import { computeDesiredState, type DesiredState } from "./desired-state.ts";
import type { ObservedServer } from "./observed-server.ts";

function configFor(servers: readonly ObservedServer[], network = ""): DeployConfig {
  const lines = servers.map(({ config }) => `  ${config.name}: { host: ${config.host}-host }`);
  const parsed = parseDeployConfig(`project: shop\nservers:\n${lines.join("\n")}\nnetwork: { ${network} }\n`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

function compute(servers: readonly ObservedServer[], network = ""): DesiredState {
  const result = computeDesiredState(configFor(servers, network), servers, madeRelease);
  if (!result.ok) throw new Error(JSON.stringify(result.findings));
  return result.state;
}

function findingsOf(servers: readonly ObservedServer[], network = ""): readonly Finding[] {
  const result = computeDesiredState(configFor(servers, network), servers, madeRelease);
  return result.ok ? [] : result.findings;
}

const cidr = "10.210.0.0/16";

describe("allocation", () => {
  test("newcomers get the lowest free numbers in the order of their names", () => {
    const { servers } = compute([makeServer("web1"), makeServer("alpha"), makeServer("home")]);
    expect([...servers].map(([name, { seat }]) => [name, seat.subnet])).toEqual([
      ["alpha", 0],
      ["home", 1],
      ["web1", 2],
    ] as never);
  });

  test("who has a number keeps it; numbers of members elsewhere, of removed servers and of half-made ones are taken", () => {
    const web1 = makeMember("web1", 0);
    const elsewhere = makeMember("other", 1);
    const half = makeMember("half", 3);
    const facts = joinedFacts(web1, [web1, elsewhere], cidr);
    const removed = [{ id: makeMember("gone", 2).identity.id, name: "gone", subnet: 2 }];
    const members = found({ version: 1, members: [web1.signed, elsewhere.signed], removed } as const);
    const { servers, mesh } = compute([
      makeServer("newer"),
      makeServer("web1", {}, { ...facts, members }),
      makeServer("half", {}, { identity: found(half.identity) }),
      makeServer("alpha"),
    ]);
    expect(Object.fromEntries([...servers].map(([name, { seat }]) => [name, seat.subnet as number]))).toEqual({
      web1: 0,
      half: 3,
      alpha: 4,
      newer: 5,
    });
    expect(mesh.members.map(({ member }) => member.name)).toEqual(["web1", "other"] as never);
  });

  test("the number of a removed server is free when all that know of the removal say so", () => {
    const [web1, home, gone] = [makeMember("web1", 0), makeMember("home", 1), makeMember("gone", 2)];
    const knowing = (subnet: number | null) => {
      const removed = [{ id: gone.identity.id, name: "gone", subnet }];
      return { members: found({ version: 1, members: [web1.signed, home.signed], removed } as const) };
    };
    const numberOf = (onWeb1: number | null, onHome: number | null): unknown =>
      compute([
        makeServer("web1", {}, { ...joinedFacts(web1, [web1, home], cidr), ...knowing(onWeb1) }),
        makeServer("home", {}, { ...joinedFacts(home, [web1, home], cidr), ...knowing(onHome) }),
        makeServer("newer"),
      ]).servers.get("newer" as never)?.seat.subnet;
    expect([numberOf(2, 2), numberOf(null, 2), numberOf(2, null), numberOf(null, null)]).toEqual([3, 3, 3, 2]);
  });

  test("the newest record of a member counts, a forged one never", () => {
    const web1 = makeMember("web1", 0);
    const home = makeMember("home", 1);
    const newer = signAgain(home, 9);
    const forged = { ...newer, record: newer.record.replace('"rev":9', '"rev":99') };
    const { mesh } = compute([
      makeServer(
        "web1",
        {},
        {
          ...joinedFacts(web1, [web1], cidr),
          members: found({ version: 1, members: [web1.signed, home.signed], removed: [] }),
        },
      ),
      makeServer(
        "home",
        {},
        { ...joinedFacts(home, [home], cidr), members: found({ version: 1, members: [newer, forged], removed: [] }) },
      ),
    ]);
    expect(mesh.members.map(({ member }) => member.rev)).toEqual([1, 9]);
  });

  const prefixes = fc.integer({ min: 8, max: 24 }).map((prefix) => parseClusterCidr(`10.0.0.0/${prefix}`)!);
  const letters = "abyz019".split("");
  const word = fc
    .tuple(fc.constantFrom(...letters.slice(0, 4)), fc.string({ unit: fc.constantFrom(...letters), maxLength: 6 }))
    .map((parts) => parts.join(""));
  const names = (limit: number) => fc.uniqueArray(word, { minLength: 1, maxLength: Math.min(limit, 6) });

  function seatsOf(state: DesiredState): Record<string, number> {
    return Object.fromEntries([...state.servers].map(([name, { seat }]) => [name, seat.subnet as number]));
  }

  function asJoined(state: DesiredState, cluster: ClusterCidr): ObservedServer[] {
    const made = [...state.servers].map(([name, { seat }]) => makeMember(name, seat.subnet));
    return made.map((member) => makeServer(member.identity.name, {}, joinedFacts(member, made, cluster)));
  }

  test("over all prefixes: the order of the file does not matter, and all addresses are apart and inside", () => {
    fc.assert(
      fc.property(
        prefixes.chain((cluster) =>
          names(capacity(cluster)).chain((list) =>
            fc.tuple(fc.constant(cluster), fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
          ),
        ),
        ([cluster, list, shuffled]) => {
          const network = `cluster_cidr: ${cluster}`;
          const state = compute(
            list.map((name) => makeServer(name)),
            network,
          );
          expect(
            compute(
              shuffled.map((name) => makeServer(name)),
              network,
            ),
          ).toEqual(state);
          const addresses = [...state.servers.values()].map(({ seat }) => serverAddress(cluster, seat.subnet));
          expect(new Set(addresses).size).toBe(list.length);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("over all prefixes: servers that join later change no number of those before", () => {
    fc.assert(
      fc.property(
        prefixes
          .filter((cluster) => capacity(cluster) > 1)
          .chain((cluster) =>
            fc.tuple(
              fc.constant(cluster),
              names(capacity(cluster)).filter((list) => list.length > 1),
            ),
          ),
        ([cluster, list]) => {
          const network = `cluster_cidr: ${cluster}`;
          const before = list.slice(0, Math.ceil(list.length / 2));
          const first = compute(
            before.map((name) => makeServer(name)),
            network,
          );
          const joined = asJoined(first, cluster);
          const second = compute([...list.slice(before.length).map((name) => makeServer(name)), ...joined], network);
          expect(seatsOf(second)).toMatchObject(seatsOf(first));
          expect(new Set(Object.values(seatsOf(second))).size).toBe(list.length);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("the spec", () => {
  test("says all that the file says, and nothing about others", () => {
    const { servers } = compute([makeServer("web1", { nat: true })], "dns: { ttl: 7, local_first: true }, mtu: 1380");
    expect(servers.get("web1" as never)?.spec).toEqual({
      version: 1,
      name: "web1",
      subnet: 0,
      cluster: { cidr, mtuBytes: 1380 },
      engine: "docker",
      store: { kind: "corrosion" },
      dns: { ttlSeconds: 7, localFirst: true, upstreams: [] },
      endpoints: ["198.51.100.11:31820"],
      nat: true,
      release: {
        jiji: { version: "0.1.0", sha256: madeRelease.jiji.byArch.x64.sha256 },
        corrosion: { version: "v1.0.0", sha256: madeRelease.corrosion?.byArch.x64?.sha256 },
      },
    } as never);
  });

  test("the embedded store names its holder's number", () => {
    const result = computeDesiredState(
      configFor([makeServer("web1"), makeServer("home")], "store: { embedded: web1 }"),
      [makeServer("web1"), makeServer("home")],
      { ...madeRelease, corrosion: undefined },
    );
    expect(
      result.ok && [...result.state.servers.values()].map(({ spec }) => [spec.store, spec.release.corrosion]),
    ).toEqual([
      [{ kind: "embedded", holder: 1 }, undefined],
      [{ kind: "embedded", holder: 1 }, undefined],
    ] as never);
    expect(result.ok && result.state.notes.join()).toContain("kept on web1 alone");
  });

  test("a server that -H leaves out keeps its spec; a newcomer that it leaves out gets none", () => {
    const web1 = makeMember("web1", 0);
    const told = { ...makeServer("web1", {}, joinedFacts(web1, [web1], cidr)), selected: false };
    const left = { ...makeServer("left"), selected: false };
    const { servers } = compute([makeServer("alpha"), told, left]);
    expect([...servers].map(([name, { selected, seat }]) => [name, selected, seat.subnet])).toEqual([
      ["alpha", true, 1],
      ["web1", false, 0],
    ] as never);
    expect(servers.get("web1" as never)?.spec).toEqual(makeSpec("web1", 0, cidr));
  });

  test("the engine: the file, else what it was set up with, else the only one there", () => {
    const both: NodeFacts["engines"] = {
      docker: found({ kind: "docker", version: "1" }),
      podman: found({ kind: "podman", version: "5" }),
    };
    const podman = { docker: ABSENT, podman: both.podman };
    const engineOf = (server: ObservedServer) => [...compute([server]).servers.values()][0]?.spec.engine;
    expect(engineOf(makeServer("a", { engine: "podman" }, { engines: both }))).toBe("podman");
    expect(engineOf(makeServer("a", {}, { engines: podman }))).toBe("podman");
    const a = makeMember("a", 0);
    expect(engineOf(makeServer("a", {}, { ...joinedFacts(a, [a], cidr), engines: both }))).toBe("docker");
    expect(findingsOf([makeServer("a", {}, { engines: both })])).toMatchObject([{ code: "engine-ambiguous" }]);
  });
});

describe("why not", () => {
  test.each([
    ["0.2.0-rc.1", "0.2.0"],
    ["0.2.0-rc.2", "0.2.0-rc.10"],
    ["0.2.0", "0.10.0"],
  ])("a server with %p is upgraded to %p, and never back", (older, newer) => {
    const refused = (installed: string, version: string): readonly string[] => {
      const servers = [makeServer("web1", {}, { release: { jiji: found(installed) } })];
      const release = { ...madeRelease, jiji: { ...madeRelease.jiji, version } };
      const result = computeDesiredState(configFor(servers), servers, release);
      return result.ok ? [] : result.findings.map(({ code }) => code);
    };
    expect(refused(older, newer)).toEqual([]);
    expect(refused(newer, newer)).toEqual([]);
    expect(refused(newer, older)).toEqual(["newer-release"]);
    expect(refused("a build of mine", newer)).toEqual([]);
  });

  const unfit: readonly (readonly [string, Partial<NodeFacts>, string, string])[] = [
    ["no systemd", { systemd: ABSENT }, "no-systemd", "does not run systemd"],
    ["systemd that cannot be seen", { systemd: unknown("EIO") }, "unseen", "could not look at systemd: EIO"],
    ["musl", { glibc: ABSENT }, "no-glibc", "has no GNU C library"],
    ["old glibc", { glibc: found("2.31") }, "glibc-too-old", "its glibc is 2.31; Corrosion needs 2.34 or newer"],
    [
      "rootless",
      { engines: { docker: ABSENT, podman: found({ kind: "podman", version: "5", rootless: true }) } },
      "rootless",
      "Podman runs rootless",
    ],
    [
      "cni",
      { engines: { docker: ABSENT, podman: found({ kind: "podman", version: "4", netavark: false }) } },
      "podman-without-netavark",
      "CNI",
    ],
    [
      "silent engine",
      { engines: { docker: unknown("refused"), podman: ABSENT } },
      "engine-silent",
      "Docker does not answer: refused",
    ],
    [
      "range",
      { networks: [{ cidr: "10.210.7.0/24", what: "docker network x" }] },
      "range-taken",
      "10.210.7.0/24 is already in use by docker network x",
    ],
    ["unreadable members", { members: unknown("EIO") }, "unreadable", "/opt/jiji/members.json cannot be read"],
  ];
  for (const [name, facts, code, message] of unfit) {
    test(name, () => {
      const findings = findingsOf([makeServer("web1", {}, facts)]);
      expect(findings.map((each) => each.code)).toEqual([code]);
      expect(formatFinding(findings[0]!)).toContain(message);
    });
  }

  const listening = Object.values<OwnPort>(OWN_PORTS).flatMap(({ protocols, ...own }) =>
    protocols.flatMap((protocol) =>
      [{ any: "192.0.2.1", server: "10.210.0.1", loopback: "127.0.0.1" }[own.on], "0.0.0.0", "::", "*"].map(
        (address) => ({ ...own, protocol, address }),
      ),
    ),
  );
  test.each(listening)("$protocol $port on $address is $what's: who has it is named", (listener) => {
    const { what, onlyWith, on: _, ...taken } = listener;
    const servers = [makeServer("web1", {}, { listeners: [{ ...taken, program: "other" }] }), makeServer("web2")];
    const messagesWith = (store: string): readonly string[] =>
      findingsOf(servers, `store: ${store}`).map(formatFinding);
    const { protocol, port, address } = taken;
    const told = [`port ${port}/${protocol} is taken by other; ${what} needs it: it listens on ${address}`];
    expect(messagesWith("corrosion")).toEqual(onlyWith === "embedded store" ? [] : told);
    expect(messagesWith("{ embedded: web1 }")).toEqual(onlyWith === "corrosion" ? [] : told);
    expect(messagesWith("{ embedded: web2 }")).toEqual(onlyWith === undefined ? told : []);
  });

  test("listeners and networks that are in nobody's way", () => {
    compute([
      makeServer(
        "web1",
        {},
        {
          listeners: [
            { protocol: "udp", address: "127.0.0.53", port: 53, program: "systemd-resolved" },
            { protocol: "tcp", address: "0.0.0.0", port: 31820, program: "x" },
            { protocol: "tcp", address: "0.0.0.0", port: 22, program: "sshd" },
          ],
          networks: [
            { cidr: "172.17.0.0/16", what: "docker network bridge" },
            { cidr: "0.0.0.0/0", what: "default route" },
            { cidr: "fe80::/64", what: "eth0" },
          ],
        },
      ),
    ]);
  });

  test("two meshes that know nothing of each other, with both lists", () => {
    const [a, b, c, d] = [makeMember("a", 0), makeMember("b", 1), makeMember("c", 2), makeMember("d", 3)];
    const findings = findingsOf([
      makeServer("a", {}, joinedFacts(a, [a, b], cidr)),
      makeServer("c", {}, joinedFacts(c, [c, d], cidr)),
    ]);
    expect(findings).toMatchObject([
      { code: "two-meshes", what: "the file brings two different meshes together: (a, b) and (c, d)" },
    ]);
  });

  test("a server that knows only itself may join a mesh", () => {
    const [a, b, c] = [makeMember("a", 0), makeMember("b", 1), makeMember("c", 2)];
    compute([makeServer("a", {}, joinedFacts(a, [a, b], cidr)), makeServer("c", {}, joinedFacts(c, [c], cidr))]);
  });

  test("one number, two servers", () => {
    const [a, b] = [makeMember("a", 4), makeMember("b", 4)];
    expect(
      findingsOf([makeServer("a", {}, joinedFacts(a, [a], cidr)), makeServer("b", {}, joinedFacts(b, [b], cidr))]),
    ).toMatchObject([{ code: "subnet-twice", what: "subnet number 4 is claimed by a and b" }]);
  });

  test("two entries that lead to one server", () => {
    const a = makeMember("a", 0);
    const findings = findingsOf([
      makeServer("a", {}, joinedFacts(a, [a], cidr)),
      makeServer("b", {}, joinedFacts(a, [a], cidr)),
    ]);
    expect(findings).toMatchObject([{ code: "same-server", server: "b" }]);
  });

  test("a newcomer under the name of a member", () => {
    const a = makeMember("a", 0);
    const b = makeMember("b", 1);
    const findings = findingsOf([makeServer("a", {}, joinedFacts(a, [a, b], cidr)), makeServer("b")]);
    expect(findings).toMatchObject([{ code: "name-taken", server: "b" }]);
  });

  test("a removed identity", () => {
    const [a, b] = [makeMember("a", 0), makeMember("b", 1)];
    const removed = [{ id: b.identity.id, name: "b", subnet: 1 }];
    const facts = {
      ...joinedFacts(a, [a], cidr),
      members: found({ version: 1, members: [a.signed], removed } as const),
    };
    const findings = findingsOf([makeServer("a", {}, facts), makeServer("b", {}, { identity: found(b.identity) })]);
    expect(findings).toMatchObject([{ code: "removed", server: "b" }]);
  });

  test("a mesh that differs from the file in what cannot change", () => {
    const a = makeMember("a", 0);
    const servers = [makeServer("a", {}, joinedFacts(a, [a], cidr))];
    expect(findingsOf(servers, "cluster_cidr: 10.0.0.0/8").map(({ what }) => what)).toEqual([
      "its mesh has cluster_cidr 10.210.0.0/16, the file says 10.0.0.0/8",
    ]);
    expect(findingsOf(servers, "mtu: 1300").map(({ what }) => what)).toEqual([
      "its mesh has mtu 1420, the file says 1300",
    ]);
    expect(findingsOf(servers, "store: { embedded: a }").map(({ code }) => code)).toEqual(["mesh-differs"]);
  });

  test("a cluster that is full, removed servers included", () => {
    const a = makeMember("a", 0);
    const small = "10.0.0.0/23";
    const removed = [{ id: makeMember("gone", 1).identity.id, name: "gone", subnet: 1 }];
    const facts = {
      ...joinedFacts(a, [a], small),
      members: found({ version: 1, members: [a.signed], removed } as const),
    };
    expect(findingsOf([makeServer("a", {}, facts), makeServer("b")], `cluster_cidr: ${small}`)).toMatchObject([
      { code: "cluster-full", server: "b" },
    ]);
  });

  test("the embedded store's holder is away", () => {
    const servers = [makeServer("home")];
    const config = configFor([makeServer("home"), makeServer("web1")], "store: { embedded: web1 }");
    const result = computeDesiredState(config, servers, { ...madeRelease, corrosion: undefined });
    expect(!result.ok && result.findings).toMatchObject([{ code: "store-holder-away", server: "web1" }]);
  });
});
