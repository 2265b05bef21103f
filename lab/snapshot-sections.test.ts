import { describe, expect, test } from "bun:test";
import { diffSnapshots, type ServerSnapshot } from "./snapshot.ts";
import {
  describeEngineNetworks,
  describeIptables,
  describeLinks,
  describeNftables,
  describeRoutes,
  describeSockets,
  describeUnits,
} from "./snapshot-sections.ts";

test("nftables: each rule bears its place, and nothing that counts or is numbered", () => {
  const ruleset = `table ip nat {
	chain DOCKER {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "veth12ab" counter packets 12 bytes 99 return # handle 7
	}
}`;
  expect(describeNftables(ruleset)).toEqual([
    "table ip nat",
    "table ip nat / chain DOCKER",
    "table ip nat / chain DOCKER / type nat hook prerouting priority dstnat; policy accept;",
    'table ip nat / chain DOCKER / iifname "veth*" counter return',
  ]);
});

test("nftables: the order of rules counts, the order of chains and tables does not", () => {
  const table = (name: string, ...chains: string[]) => `table ip ${name} {\n${chains.join("")}}\n`;
  const one = "\tchain one {\n\t\taccept\n\t\tdrop\n\t}\n";
  const two = "\tchain two {\n\t\tdrop\n\t}\n";
  const seen = describeNftables(table("nat", one, two) + table("filter", two));
  expect(describeNftables(table("filter", two) + table("nat", two, one))).toEqual(seen);
  const swapped = "\tchain one {\n\t\tdrop\n\t\taccept\n\t}\n";
  expect(describeNftables(table("nat", swapped, two) + table("filter", two))).not.toEqual(seen);
});

test("nftables: a set's elements on several lines stay inside it", () => {
  const ruleset =
    "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\n\t\t\t     10.0.0.2 }\n\t}\n\tchain c {\n\t}\n}\n";
  expect(describeNftables(ruleset)[1]).toBe("table inet t / chain c");
});

test("iptables: tables in order, no counters, no dates", () => {
  const saved =
    "# Generated on Mon\n*filter\n:INPUT ACCEPT [5:300]\n-A INPUT -i veth9 -j ACCEPT\nCOMMIT\n# Completed\n";
  expect(describeIptables(saved)).toEqual(["*filter", "filter :INPUT ACCEPT", "filter -A INPUT -i veth* -j ACCEPT"]);
});

test("routes: sorted, without states that change by themselves", () => {
  const routes =
    "172.17.0.0/16 dev docker0 proto kernel linkdown \n10.0.0.0/8 dev jiji0\nfe80::/64 dev docker0 metric 256\n";
  expect(describeRoutes(routes)).toEqual(["10.0.0.0/8 dev jiji0", "172.17.0.0/16 dev docker0 proto kernel"]);
});

test("links: kind, state, addresses", () => {
  const link = {
    ifname: "docker0",
    mtu: 1500,
    flags: ["BROADCAST", "UP"],
    linkinfo: { info_kind: "bridge" },
    addr_info: [
      { local: "172.17.0.1", prefixlen: 16, scope: "global" },
      { local: "fe80::1", prefixlen: 64, scope: "link" },
    ],
  };
  expect(describeLinks(JSON.stringify([link]))).toEqual([
    "docker0: address 172.17.0.1/16 scope global",
    "docker0: bridge up mtu 1500",
  ]);
});

test("sockets: by program", () => {
  const listening = `tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7,fd=3))
tcp LISTEN 0 128 127.0.0.1:40001 0.0.0.0:* users:(("containerd",pid=9,fd=3))`;
  expect(describeSockets(listening)).toEqual(["tcp 0.0.0.0:22 sshd", "tcp 127.0.0.1:* containerd"]);
});

test("units: what runs or failed, without what comes and goes", () => {
  const units = `ssh.service loaded active running OpenBSD Secure Shell server
netavark-dhcp-proxy.service loaded active running Netavark
jiji-dns.service loaded failed failed jiji
init.scope loaded active running System and Service Manager`;
  expect(describeUnits(units)).toEqual(["jiji-dns.service failed", "ssh.service active"]);
});

test("engine networks: settings, and the identity of those that are not made anew by the engine", () => {
  const networks = [
    { Name: "bridge", Id: "1", Created: "now", Driver: "bridge", Containers: { a: 1 } },
    { name: "jiji", id: "2", driver: "bridge", containers: {} },
  ];
  expect(describeEngineNetworks(JSON.stringify(networks))).toEqual([
    'bridge: {"Name":"bridge","Driver":"bridge"}',
    'jiji: {"name":"jiji","id":"2","driver":"bridge"}',
  ]);
});

describe("difference of two snapshots", () => {
  const snapshot = (sections: Record<string, string[]>): ServerSnapshot => ({ server: "web1", sections });
  for (const [name, before, after, lines] of [
    ["equal", { rules: ["a", "b"] }, { rules: ["a", "b"] }, []],
    ["one more", { rules: ["a"] }, { rules: ["a", "a"] }, ["+ rules: a"]],
    ["one changed", { files: ["/etc/x: 1"] }, { files: ["/etc/x: 2"] }, ["- files: /etc/x: 1", "+ files: /etc/x: 2"]],
    ["another order", { nft: ["a", "b"] }, { nft: ["b", "a"] }, ["~ nft: other order from line 1 on: before a; now b"]],
    ["a section more", {}, { "podman networks": ["jiji"] }, ["+ podman networks: jiji"]],
  ] as [string, Record<string, string[]>, Record<string, string[]>, string[]][]) {
    test(name, () => expect(diffSnapshots(snapshot(before), snapshot(after))).toEqual(lines));
  }
});
