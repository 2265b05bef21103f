import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { FakeHost, failed, type FakeProgram } from "../../test/fake-host.ts";
import { callNode } from "../../test/node-call.ts";
import { sampleRecord, sampleSpec } from "../../test/sample-spec.ts";
import type { Engine } from "../engine/engine.ts";
import { formatFinding } from "../model/finding.ts";
import { encodeIdentityFile } from "../model/identity.ts";
import { encodeMembersFile } from "../model/members-file.ts";
import { encodeNodeSpecFile } from "../model/node-spec.ts";
import { nodeStatusSchema, type NodeStatus } from "../model/node/status.ts";
import { PATHS } from "../model/paths.ts";
import { found, unknown } from "../model/reading.ts";
import type { Handler } from "./call.ts";
import { runNodeStatus, type StatusSources } from "./status.ts";

const engine = {
  kind: "docker",
  version: async () => found("28.5.2"),
  onHostNetwork: async () => found([]),
  containers: async () => found([{ state: "running" }, { state: "running" }, { state: "exited" }]),
} as unknown as Engine;

const SOURCES: StatusSources = {
  openEngine: () => engine,
  store: async () => found({ kind: "corrosion", rows: 5, sizeBytes: 4096 }),
  dns: async () => found({ udp: true, tcp: true, latencyMs: 0.4 }),
  agent: async () => found({ ready: true }),
};

const peer = sampleRecord("web2", 1);
const peerKey = Buffer.alloc(32, 2).toString("base64");

function wg(handshake: number): FakeProgram {
  return ([, , what]) => {
    if (what === "public-key") return `${Buffer.alloc(32, 9).toString("base64")}\n`;
    if (what === "listen-port") return "31820\n";
    if (what === "peers") return `${peerKey}\n`;
    if (what === "endpoints") return `${peerKey}\t198.51.100.2:31820\n`;
    if (what === "allowed-ips") return `${peerKey}\t10.210.1.0/24\n`;
    if (what === "latest-handshakes") return `${peerKey}\t${handshake}\n`;
    if (what === "transfer") return `${peerKey}\t100\t200\n`;
    return `${peerKey}\toff\n`;
  };
}

/** nft and unshare of a server with these tables of ours, whose kernel knows these families. */
function filters(loaded: readonly string[], possible: readonly string[]): Record<string, FakeProgram> {
  const nftables = loaded.map((family) => ({ table: { family, name: "jiji", handle: 1 } }));
  return {
    nft: () => JSON.stringify({ nftables: [{ metainfo: {} }, ...nftables] }),
    unshare: (args) => (possible.some((family) => args.at(-1)?.startsWith(`add table ${family} `)) ? "" : failed("no")),
  };
}

function member(): FakeHost {
  const link = JSON.stringify([
    { ifname: "jiji0", mtu: 1420, flags: ["UP"], addr_info: [{ family: "inet", local: "10.210.0.1", prefixlen: 32 }] },
  ]);
  const host = new FakeHost({
    programs: {
      systemctl: (args) =>
        `${args
          .slice(1)
          .map(() => "active")
          .join("\n")}\n`,
      ip: () => link,
      ...filters(["inet", "bridge"], ["inet", "bridge"]),
      ping: () => "rtt min/avg/max/mdev = 0.512/0.512/0.512/0.000 ms\n",
    },
    files: {
      [PATHS.spec]: encodeNodeSpecFile(sampleSpec()),
      [PATHS.identity]: encodeIdentityFile("web1", 0, generateKeyPairSync("ed25519").privateKey),
      [PATHS.members]: encodeMembersFile({ version: 1, members: [peer], removed: [] }),
    },
  });
  host.table.set("wg", wg(Math.floor(host.clock.now / 1000) - 30));
  return host;
}

async function status(host: FakeHost, probe = false, sources = SOURCES): Promise<NodeStatus> {
  const handler: Handler<"status"> = (request, call) => runNodeStatus(request, call, sources);
  const { code, lines } = await callNode("status", { probe }, handler, { host });
  expect(code).toBe(0);
  return nodeStatusSchema.parse(lines[0]);
}

test("a healthy member has no findings", async () => {
  const host = member();
  const now = await status(host, true);
  expect(now.findings).toEqual([]);
  expect(now.wireguard).toMatchObject({
    value: {
      peers: [
        {
          name: "web2",
          endpoint: "198.51.100.2:31820",
          handshakeAgeSeconds: 30,
          receivedBytes: 100,
          sentBytes: 200,
          fullSizePacket: true,
          roundTripMs: 0.512,
        },
      ],
    },
  });
  expect(now.containers).toEqual({ state: "found", value: { running: 2, exited: 1 } });
  expect(host.log.find((line) => line.startsWith("ping"))).toBe("ping -n -q -M do -s 1392 -c 1 -W 2 10.210.1.1");
});

test("each part that is not as it should be is named", async () => {
  const host = member();
  host.table.set("wg", wg(Math.floor(host.clock.now / 1000) - 900));
  host.table.set(
    "systemctl",
    (args) =>
      `${args
        .slice(1)
        .map((unit) => (unit === "jiji-dns.service" ? "failed" : "active"))
        .join("\n")}\n`,
  );
  const now = await status(host, false, {
    ...SOURCES,
    store: async () => unknown("the store said 401"),
    dns: async () => found({ udp: true, tcp: false, latencyMs: 1 }),
    agent: async () => found({ ready: false }),
  });
  expect(now.findings.map(formatFinding)).toEqual([
    "jiji-dns.service is failed",
    "the last handshake with web2 is 900 s old",
    "jiji-dns does not answer over TCP",
    "the store does not answer: the store said 401",
    "jiji-agent has not yet compared the store with the engine",
  ]);
});

test("a full-size packet that does not come back counts more than a fresh handshake", async () => {
  const host = member();
  host.table.set("ping", () => failed("message too long"));
  expect((await status(host, true)).findings).toMatchObject([
    { code: "full-size-lost", what: expect.stringContaining("web2") },
  ]);
});

test("a server that was never set up says so", async () => {
  const now = await status(new FakeHost({ programs: { systemctl: () => "inactive\n" } }));
  expect(now.findings.map(formatFinding)).toEqual(["it is not set up"]);
  expect(now.store).toEqual({ state: "absent" });
});

// security-tests: frame-filter-missing
test.each([
  ["all of it", ["inet", "bridge"], ["inet", "bridge"], []],
  ["somebody flushed the rules", [], ["inet", "bridge"], ["filter-missing", "frame-filter-missing"]],
  ["a kernel without tables for frames", ["inet"], ["inet"], ["frames-unfiltered"]],
  ["nft that cannot be asked", ["inet"], [], ["frame-filter-missing"]],
] as const)("the packet filter: %s", async (_what, loaded, possible, codes) => {
  const host = member();
  for (const [name, program] of Object.entries(filters(loaded, possible))) host.table.set(name, program);
  expect((await status(host)).findings.map(({ code }) => code)).toEqual([...codes]);
});

test("containers on the host's network are named", async () => {
  const hosting = { ...engine, onHostNetwork: async () => found(["agent", "proxy"]) } as unknown as Engine;
  const seen = await status(member(), false, { ...SOURCES, openEngine: () => hosting });
  expect(seen.findings).toMatchObject([
    { code: "host-network", severity: "warning", what: expect.stringContaining("agent, proxy") },
  ]);
  const silent = { ...engine, onHostNetwork: async () => unknown("no socket") } as unknown as Engine;
  expect((await status(member(), false, { ...SOURCES, openEngine: () => silent })).findings).toEqual([]);
});
