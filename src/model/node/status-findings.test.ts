import { expect, test } from "bun:test";
import { found, unknown } from "../reading.ts";
import { judgeConnections } from "./status-findings.ts";
import type { NodeStatus, PeerStatus } from "./status.ts";

const dns: NodeStatus["dns"] = found({ udp: true, tcp: true, latencyMs: 1 });
const web2 = { id: "b", name: "web2" };

function tunnelTo(handshakeAgeSeconds: number | null, more: Partial<PeerStatus> = {}): NodeStatus["wireguard"] {
  const rest = { endpoint: null, receivedBytes: 0, sentBytes: 0 };
  return found({ peers: [{ ...web2, ...rest, handshakeAgeSeconds, ...more }] });
}

test.each([
  ["a fresh handshake", tunnelTo(300), []],
  ["an old one", tunnelTo(301), ["handshake-old"]],
  ["an old one, but a packet came back", tunnelTo(301, { fullSizePacket: true }), []],
  ["a fresh one, but no packet came back", tunnelTo(1, { fullSizePacket: false }), ["full-size-lost"]],
  ["never one", tunnelTo(null, { fullSizePacket: false }), ["no-handshake"]],
  ["a peer that WireGuard does not have", found({ peers: [] }), ["no-handshake"]],
  ["no tunnel", { state: "absent" } as const, ["tunnel-down"]],
  ["a tunnel that cannot be looked at", unknown("EPERM"), ["unseen"]],
] as const)("%s", (_what, wireguard, codes) => {
  expect(judgeConnections({ wireguard, dns }, [web2]).map(({ code }) => code)).toEqual([...codes]);
});

test("a peer behind NAT that has not called is no trouble", () => {
  const peer = { ...web2, mayBeSilent: true };
  expect(judgeConnections({ wireguard: tunnelTo(null), dns }, [peer])).toEqual([]);
  expect(judgeConnections({ wireguard: tunnelTo(301), dns }, [peer])).toHaveLength(1);
});

test.each([
  [found({ udp: true, tcp: false, latencyMs: 1 }), "TCP", null],
  [found({ udp: false, tcp: true, latencyMs: 1 }), "UDP", null],
  [unknown("refused"), "UDP or TCP", "refused"],
  [{ state: "absent" } as const, "UDP or TCP", null],
] as const)("jiji-dns that does not answer: %j", (silent, transport, evidence) => {
  const findings = judgeConnections({ wireguard: tunnelTo(1), dns: silent }, [web2]);
  expect(findings).toMatchObject([{ what: `jiji-dns does not answer over ${transport}`, evidence }]);
});
