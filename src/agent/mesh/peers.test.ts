import { beforeEach, describe, expect, test } from "bun:test";
import { failed, FakeHost, ok } from "../../../test/fake-host.ts";
import { sampleMember, sampleSpec } from "../../../test/sample-spec.ts";
import type { Member } from "../../model/server-record.ts";
import { openPeers } from "./peers.ts";

/** A tunnel in memory: what `wg` and `ip` say of it, and what they do to it. */
class FakeTunnel {
  isUp = true;
  readonly peers = new Map<string, { endpoint: string; allowedIps: string }>();
  readonly routes = new Set<string>();

  wg(args: readonly string[]): ReturnType<typeof ok> {
    if (args[0] === "set") {
      const option = (name: string): string | undefined => args[args.indexOf(name) + 1];
      const key = option("peer") ?? "";
      const before = this.peers.get(key) ?? { endpoint: "(none)", allowedIps: "(none)" };
      this.peers.set(key, {
        endpoint: args.includes("endpoint") ? (option("endpoint") ?? "") : before.endpoint,
        allowedIps: args.includes("allowed-ips") ? (option("allowed-ips") ?? "") : before.allowedIps,
      });
      return ok();
    }
    const each = (show: (peer: { endpoint: string; allowedIps: string }) => string): string =>
      [...this.peers].map(([key, peer]) => `${key}\t${show(peer)}\n`).join("");
    switch (args[2]) {
      case "public-key":
        return ok(`${Buffer.alloc(32, 9).toString("base64")}\n`);
      case "listen-port":
        return ok("31820\n");
      case "peers":
        return ok([...this.peers.keys()].map((key) => `${key}\n`).join(""));
      case "endpoints":
        return ok(each(({ endpoint }) => endpoint));
      case "allowed-ips":
        return ok(each(({ allowedIps }) => allowedIps));
      case "latest-handshakes":
        return ok(each(() => "0"));
      default:
        return ok(each(() => "off"));
    }
  }

  ip(args: readonly string[]): ReturnType<typeof ok> {
    if (args.includes("replace")) {
      this.routes.add(args[args.indexOf("replace") + 1] ?? "");
      return ok();
    }
    if (args.includes("route")) return ok(JSON.stringify([...this.routes].map((dst) => ({ dst, dev: "jiji0" }))));
    const links = [{ ifname: "lo", mtu: 65_536, flags: ["UP"], addr_info: [] }];
    const own = { ifname: "jiji0", mtu: 1420, flags: ["UP"], addr_info: [] };
    return ok(JSON.stringify(this.isUp ? [...links, own] : links));
  }
}

let host: FakeHost;
let tunnel: FakeTunnel;
const spec = sampleSpec();
const lines: string[] = [];
const log = {
  info: (line: string): void => void lines.push(line),
  warn: (line: string): void => void lines.push(line),
};

const self = sampleMember(spec.name, spec.subnet);
const others = [sampleMember("db1", 1), sampleMember("home", 2)].filter(({ subnet }) => subnet !== spec.subnet);
const members: readonly Member[] = [self, ...others];

beforeEach(() => {
  tunnel = new FakeTunnel();
  host = new FakeHost({ programs: { wg: (args) => tunnel.wg(args), ip: (args) => tunnel.ip(args) } });
});

const changes = (): string[] => host.log.filter((line) => /wg set|route replace/.test(line));

describe("the tunnel's peers", () => {
  test("follow the members, with a route each, and a second look changes nothing", async () => {
    const peers = openPeers(host, spec, log);
    await peers.reconcile(members);
    expect([...tunnel.peers.keys()].toSorted()).toEqual(others.map(({ publicKey }) => publicKey).toSorted());
    expect([...tunnel.routes].toSorted()).toEqual(
      [...tunnel.peers.values()].map(({ allowedIps }) => allowedIps).toSorted(),
    );
    const before = changes().length;
    await peers.reconcile(members);
    expect(changes().length).toBe(before);
  });

  // security-tests: store-removes-nobody
  test("are never removed, whoever is not named any more", async () => {
    const peers = openPeers(host, spec, log);
    await peers.reconcile(members);
    await peers.reconcile([self]);
    expect(tunnel.peers.size).toBe(others.length);
    expect(tunnel.routes.size).toBe(others.length);
  });

  test("have to wait for a tunnel that is not up, or cannot be seen", async () => {
    tunnel.isUp = false;
    await expect(openPeers(host, spec, log).reconcile(members)).rejects.toThrow("jiji0 is not up");
    host.table.set("ip", () => failed("no netlink"));
    await expect(openPeers(host, spec, log).reconcile(members)).rejects.toThrow();
    expect(changes()).toEqual([]);
  });
});
