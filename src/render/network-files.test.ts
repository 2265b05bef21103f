import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { expectGolden } from "../../test/golden.ts";
import { sampleMember, sampleSpec } from "../../test/sample-spec.ts";
import { parseEndpoint } from "../model/address.ts";
import { parseClusterCidr, serverAddress, subnetOf } from "../model/cluster.ts";
import { parseWireGuardPublicKey } from "../model/keys.ts";
import { parseDnsLabel } from "../model/names.ts";
import { PATHS } from "../model/paths.ts";
import { unitFile, UNITS } from "../model/units.ts";
import { frameFilterText, packetFilterText } from "../plan/kinds/firewall.ts";
import { wireguardConfigFile } from "../plan/kinds/wireguard.ts";
import { renderAgentUnit } from "./agent-unit.ts";
import { renderFirewallUnit } from "./firewall-unit.ts";
import { FORWARD_CHAIN, forwardChain, INPUT_CHAIN, inputChain, renderIptablesChains } from "./iptables-chains.ts";
import { renderPacketFilter } from "./packet-filter.ts";
import { renderSysctl } from "./system-files.ts";
import { renderTunnelUnit } from "./tunnel-unit.ts";
import { renderWireguardConfig } from "./wireguard-config.ts";

const spec = sampleSpec();
const address = serverAddress(spec.cluster.cidr, spec.subnet);

describe("golden files", () => {
  test("jiji0.conf: literal endpoints, nobody to call behind NAT, no secret", () => {
    const members = [
      sampleMember("web1", 0),
      sampleMember("home", 1, { nat: true, endpoints: ["192.0.2.7:31820"] }),
      sampleMember("db1", 12, { endpoints: ["203.0.113.9:31820", "198.51.100.4:31820"] }),
      sampleMember("v6", 13, { endpoints: ["[2001:db8::7]:31820"] }),
    ];
    const file = wireguardConfigFile({ phase: "join", spec, members, expected: [] });
    expect(file.mode).toBe(0o600);
    expectGolden(file.path, file.content ?? "");
  });

  test("rules.nft", () => expectGolden(PATHS.firewall, packetFilterText(spec)));

  test("frames.nft", () => expectGolden(PATHS.firewallFrames, frameFilterText(spec)));

  test("rules.v4 and rules.v6", () => {
    expectGolden(PATHS.firewallChains4, renderIptablesChains([inputChain(4, address), forwardChain("podman")]));
    expectGolden(PATHS.firewallChains6, renderIptablesChains([inputChain(6, address)]));
  });

  test("jiji-firewall.service", () => {
    const unit = renderFirewallUnit({
      cluster: spec.cluster.cidr,
      hooks: [
        { family: 4, from: "INPUT", to: INPUT_CHAIN },
        { family: 4, from: "DOCKER-USER", to: FORWARD_CHAIN },
        { family: 6, from: "INPUT", to: INPUT_CHAIN },
      ],
    });
    expectGolden(unitFile(UNITS.firewall), unit);
  });

  test("wg-quick@jiji0.service", () => expectGolden(unitFile(UNITS.tunnel), renderTunnelUnit()));

  test("60-jiji.conf", () => expectGolden(PATHS.sysctl, renderSysctl("8080,31220,31280-31282,31820")));
});

test("a server behind NAT keeps its mapping open towards every peer; nobody else sends keepalives", () => {
  const render = (nat: boolean): string => {
    const goal = {
      phase: "join" as const,
      spec: { ...spec, nat },
      members: [sampleMember("db1", 1), sampleMember("home", 2, { nat: true })],
      expected: [],
    };
    return wireguardConfigFile(goal).content ?? "";
  };
  expect(render(false)).not.toContain("PersistentKeepalive");
  expect(render(true).match(/PersistentKeepalive = 25/g)).toHaveLength(2);
});

test("the packet filter of a server with an embedded store lets its port in, others' do not", () => {
  const holder = sampleSpec((json) => (json["store"] = { kind: "embedded", holder: 0 }));
  const other = sampleSpec((json) => (json["store"] = { kind: "embedded", holder: 3 }));
  expect(packetFilterText(holder)).toContain("\t\ttcp dport 31282 accept\n");
  expect(packetFilterText(other)).not.toContain("tcp dport 31282 accept");
  expect(packetFilterText(holder)).toContain("th dport 31280 meta skuid != root drop");
});

// security-tests: no-config-text
test("whatever strings records hold, files keep their lines: what does not parse is not there", () => {
  const skeleton = (text: string): string[] =>
    text
      .split("\n")
      .map((line) => /^(?:\[\w+\]|\w+ =|#)/.exec(line)?.[0] ?? line)
      .filter((line) => line !== "");
  const hostile = fc.oneof(
    fc.string({ size: "max", maxLength: 300 }),
    fc.constantFrom("x\nPostUp = reboot", "1.2.3.4:5\n[Peer]", "$(reboot)", "a = b"),
  );
  const head = ["[Interface]", "Address =", "ListenPort =", "MTU =", "Table ="];
  const wellFormed = [...head, "PostUp =", "PostUp =", "PostUp =", "#"];
  fc.assert(
    fc.property(hostile, hostile, hostile, (name, key, endpoint) => {
      const label = parseDnsLabel(name) ?? parseDnsLabel("web2");
      const publicKey = parseWireGuardPublicKey(key) ?? sampleMember("web2", 1).publicKey;
      const parsed = parseEndpoint(endpoint);
      if (label === undefined) throw new Error("web2 is a label");
      const peer = {
        name: label,
        publicKey,
        allowedIps: subnetOf(spec.cluster.cidr, spec.subnet),
        keepaliveSeconds: 0,
      };
      const text = renderWireguardConfig({
        address,
        mtuBytes: 1420,
        peers: [{ ...peer, endpoints: parsed === undefined ? [] : [parsed] }],
      });
      const lines = skeleton(text);
      const expected = [...wellFormed, "#", "[Peer]", "PublicKey =", ...(parsed ? ["Endpoint ="] : []), "AllowedIPs ="];
      expect(lines.toSorted()).toEqual(expected.toSorted());
    }),
  );
});

test("the packet filter names the server's own addresses, for every prefix and number", () => {
  fc.assert(
    fc.property(fc.integer({ min: 8, max: 24 }), fc.nat(), (prefix, n) => {
      const cluster = parseClusterCidr(`10.0.0.0/${prefix}`);
      if (cluster === undefined) throw new Error("not a cluster");
      const subnet = (n % Math.min(2 ** (24 - prefix), 255)) as typeof spec.subnet;
      const [own, server] = [subnetOf(cluster, subnet), serverAddress(cluster, subnet)];
      const text = renderPacketFilter({ cluster, own, address: server, gossipUser: null, holdsStore: false });
      expect(text).toContain(`ip saddr ${own} ip daddr ${cluster} oifname { "jiji0", "lo" } snat ip prefix to`);
      expect(text).toContain(`iifname "jiji-br0" ip saddr ${server} drop`);
      expect(text.match(/undefined|NaN/)).toBeNull();
    }),
  );
});

describe("at boot", () => {
  test("wg-quick adds no route itself, and one that is there already is no failure", () => {
    const goal = {
      phase: "join" as const,
      spec,
      members: [sampleMember("db1", 1), sampleMember("db2", 2)],
      expected: [],
    };
    const text = wireguardConfigFile(goal).content ?? "";
    expect(text).toContain("Table = off\n");
    const [head = ""] = text.split("[Peer]");
    const routed = [...head.matchAll(/^PostUp = ip -4 route replace (\S+) dev %i$/gm)].map(([, dst]) => dst);
    expect(routed).toEqual([...text.matchAll(/^AllowedIPs = (\S+)$/gm)].map(([, dst]) => dst));
    expect(routed.length).toBeGreaterThan(0);
  });

  test("the agent, which adds routes and says farewell, runs only while the tunnel is up", () => {
    expect(renderAgentUnit()).toMatch(/^After=.*wg-quick@jiji0\.service/m);
    expect(renderTunnelUnit()).not.toContain("network-online");
  });
});
