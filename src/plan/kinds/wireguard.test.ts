import { describe, expect, test } from "bun:test";
import { sampleMember, sampleSpec } from "../../../test/sample-spec.ts";
import { JijiError } from "../../model/errors.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { UNITS } from "../../model/units.ts";
import { ABSENT, found, unknown } from "../../model/reading.ts";
import type { JoinGoal } from "../goal.ts";
import { EMPTY_MANIFEST } from "../manifest.ts";
import { desiredPeers } from "../peers.ts";
import {
  planWireguard,
  wireguardConfigFile,
  wireguardNotes,
  type ObservedPeer,
  type ObservedTunnel,
  type WireguardObserved,
} from "./wireguard.ts";

const spec = sampleSpec();
const web2 = sampleMember("web2", 1);
const home = sampleMember("home", 2, { nat: true });
const goal: JoinGoal = { phase: "join", spec, members: [sampleMember("web1", 0), web2, home], expected: [] };

const KEY = Buffer.alloc(32, 1).toString("base64") as WireGuardPublicKey;

function livePeer(name: "web2" | "home", change: Partial<ObservedPeer> = {}): ObservedPeer {
  const member = name === "web2" ? web2 : home;
  return {
    publicKey: member.publicKey,
    endpoint: name === "web2" ? (web2.endpoints[0] ?? null) : null,
    allowedIps: [`10.210.${member.subnet}.0/24`],
    keepaliveSeconds: 0,
    handshakeAgeSeconds: null,
    ...change,
  };
}

function tunnel(change: Partial<ObservedTunnel> = {}): ObservedTunnel {
  return {
    publicKey: KEY,
    listenPort: 31820,
    mtuBytes: 1420,
    addresses: ["10.210.0.1/32"],
    up: true,
    peers: [livePeer("web2"), livePeer("home")],
    ...change,
  };
}

function world(change: Partial<WireguardObserved> = {}): WireguardObserved {
  const file = wireguardConfigFile(goal);
  const stat = { type: "file", mode: 0o600, owner: "root", group: "root", sizeBytes: 1 } as const;
  return {
    key: found(KEY),
    config: { stat: found(stat), content: found(file.content ?? "") },
    unit: found({ enabled: true, active: true }),
    tunnel: found(tunnel()),
    ...change,
  };
}

const plan = (observed: WireguardObserved, of: JoinGoal = goal): string[] =>
  planWireguard(of, observed, EMPTY_MANIFEST).map(({ summary }) => summary);

const changes = (observed: WireguardObserved): unknown[] =>
  planWireguard(goal, observed, EMPTY_MANIFEST).map(({ action }) => action);

describe("a server that joins", () => {
  test("gets its configuration and its tunnel, and no live change", () => {
    const empty = world({ config: { stat: ABSENT, content: ABSENT }, unit: ABSENT, tunnel: ABSENT });
    expect(plan(empty)).toEqual(["write /etc/wireguard/jiji0.conf", "bring up jiji0 with 10.210.0.1"]);
  });

  test("sees members to come, whose keys are not made yet", () => {
    const expected = [{ name: sampleMember("web9", 9).name, subnet: sampleMember("web9", 9).subnet }];
    expect(plan(world(), { ...goal, expected })).toEqual(["add peer web9 (key: made on the server)"]);
  });

  test("has nothing to do the second time", () => expect(plan(world())).toEqual([]));
});

describe("a live tunnel", () => {
  test("a file that differs alone is written alone", () => {
    const seen = world();
    expect(plan({ ...seen, config: { ...seen.config, content: found("old\n") } })).toEqual([
      "change /etc/wireguard/jiji0.conf",
    ]);
  });

  test("is never restarted; a unit that is not enabled is enabled", () => {
    expect(plan(world({ unit: found({ enabled: false, active: true }) }))).toEqual(["bring jiji0 up at boot"]);
  });

  test("gets a new peer whole", () => {
    expect(changes(world({ tunnel: found(tunnel({ peers: [livePeer("home")] })) }))).toEqual([
      {
        op: "set-peer",
        change: { publicKey: web2.publicKey, endpoint: "198.51.100.2:31820", allowedIps: "10.210.1.0/24" },
      },
    ]);
  });

  test("is told only what differs of a peer", () => {
    const peers = [livePeer("web2", { keepaliveSeconds: 25 }), livePeer("home", { allowedIps: ["10.210.9.0/24"] })];
    expect(changes(world({ tunnel: found(tunnel({ peers })) }))).toEqual([
      { op: "set-peer", change: { publicKey: web2.publicKey, keepaliveSeconds: 0 } },
      { op: "set-peer", change: { publicKey: home.publicKey, allowedIps: "10.210.2.0/24" } },
    ]);
  });

  const elsewhere = { endpoint: "192.0.2.99:1234" as ObservedPeer["endpoint"] };

  test("keeps an endpoint that roamed and works", () => {
    const peers = [livePeer("web2", { ...elsewhere, handshakeAgeSeconds: 100 }), livePeer("home", elsewhere)];
    expect(plan(world({ tunnel: found(tunnel({ peers })) }))).toEqual([]);
  });

  test("goes back to the configured endpoint when the other one is silent", () => {
    const peers = [livePeer("web2", { ...elsewhere, handshakeAgeSeconds: 181 }), livePeer("home")];
    expect(plan(world({ tunnel: found(tunnel({ peers })) }))).toEqual(["peer web2: endpoint"]);
  });

  test("an interface that differs is put right in place", () => {
    const wrong = tunnel({ publicKey: null, listenPort: 5, mtuBytes: 1500, addresses: ["169.254.1.1/32"], up: false });
    expect(changes(world({ tunnel: found(wrong) }))).toEqual([
      { op: "set-key" },
      { op: "set-port" },
      { op: "set-link", mtuBytes: 1420 },
      { op: "set-address", address: "10.210.0.1" },
    ]);
  });

  test("keeps peers that nobody named, and says so", () => {
    const stranger = { ...livePeer("web2"), publicKey: "x".repeat(43) + "=", allowedIps: ["10.210.7.0/24"] };
    const seen = world({ tunnel: found(tunnel({ peers: [...tunnel().peers, stranger] })) });
    expect(plan(seen)).toEqual([]);
    expect(wireguardNotes(goal, seen)).toHaveLength(1);
    expect(wireguardNotes(goal, world())).toEqual([]);
  });
});

test("what cannot be seen is not changed", () => {
  for (const blind of [{ tunnel: unknown("no answer") }, { unit: unknown("no answer") }]) {
    expect(() => plan(world(blind))).toThrow(JijiError);
  }
});

test("teardown takes down only what the manifest names", () => {
  const teardown = (entries: readonly string[]): string[] =>
    planWireguard({ phase: "teardown" }, world(), {
      version: 1,
      entries: entries.map((target) => ({
        kind: "wireguard",
        target,
        before: target === UNITS.tunnel ? null : { file: null, madeFolders: [] },
      })),
    }).map(({ summary }) => summary);
  expect(teardown([])).toEqual([]);
  expect(teardown([UNITS.tunnel, "/etc/wireguard/jiji0.conf"])).toEqual([
    "take jiji0 down",
    "remove /etc/wireguard/jiji0.conf",
  ]);
});

describe("peers", () => {
  test("are the same in whatever order the members stand", () => {
    expect(desiredPeers(spec, goal.members.toReversed())).toEqual(desiredPeers(spec, goal.members));
  });

  test("one more member changes nothing of the others", () => {
    const more = desiredPeers(spec, [...goal.members, sampleMember("db1", 7)]);
    expect(more.slice(0, 2)).toEqual([...desiredPeers(spec, goal.members)]);
  });

  test("a second member with a number or key that is taken, or outside of the cluster, is left out", () => {
    const thief = { ...sampleMember("thief", 1), publicKey: sampleMember("x", 30).publicKey };
    const twin = { ...sampleMember("twin", 31), publicKey: web2.publicKey };
    const self = { ...sampleMember("self", 0), publicKey: sampleMember("x", 32).publicKey };
    expect(desiredPeers(spec, [...goal.members, thief, twin, self]).map(({ name }) => name as string)).toEqual([
      "web2",
      "home",
    ]);
    const small = sampleSpec((json) => (json["cluster"] = { cidr: "10.210.0.0/23", mtuBytes: 1420 }));
    expect(desiredPeers(small, goal.members).map(({ name }) => name as string)).toEqual(["web2"]);
  });
});
