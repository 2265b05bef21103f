// One server's agent as far as probes go, and what it costs: prints one line of JSON.
// usage: subject.ts MEMBERS SECONDS
import { parseSubnetNumber } from "../../src/model/cluster.ts";
import { systemUdp } from "../../src/system/udp.ts";
import type { Udp, UdpHandlers, UdpSocket } from "../../src/system/udp-port.ts";
import { startQuietLink } from "../quiet-link.ts";
import { CLUSTER, memberId, memberOf, subjectOf } from "./members.ts";

/** Octets of an IPv4 header and a UDP header. */
const HEADERS_BYTES = 28;

const traffic = { sentBytes: 0, receivedBytes: 0, sent: 0, received: 0 };

/** The same sockets, with what passes counted. */
function counted(udp: Udp): Udp {
  const listening = (handlers: UdpHandlers): UdpHandlers => ({
    onError: (error) => handlers.onError(error),
    onData: (data, port, address, waitedMs) => {
      traffic.received++;
      traffic.receivedBytes += data.length + HEADERS_BYTES;
      handlers.onData(data, port, address, waitedMs);
    },
  });
  const sending = (socket: UdpSocket): UdpSocket => ({
    close: () => socket.close(),
    send: (data, port, address) => {
      traffic.sent++;
      traffic.sentBytes += data.length + HEADERS_BYTES;
      socket.send(data, port, address);
    },
  });
  return {
    bind: async (address, port, handlers) => sending(await udp.bind(address, port, listening(handlers))),
    bindBatched: async (address, port, rule, handlers) =>
      sending(await udp.bindBatched(address, port, rule, listening(handlers))),
    connect: (from, to, port, handlers) => udp.connect(from, to, port, handlers),
  };
}

const [members, seconds] = process.argv.slice(2).map(Number) as [number, number];
const self = subjectOf(members);
const subnet = parseSubnetNumber(CLUSTER, self);
if (subnet === undefined) throw new Error(`${self} is no number of ${CLUSTER}`);
const link = startQuietLink(
  CLUSTER,
  { id: memberId(self), subnet },
  { udp: counted(systemUdp), warn: (line) => console.error(line) },
);
const others = Array.from({ length: members }, (_, n) => n).filter((n) => n !== self);
link.setMembers([self, ...others].map((n) => memberOf(n)));

// beforehand the code is compiled as far as it will be, which is work of its own, and every pair has met
await Bun.sleep(members > 1 ? 40_000 : 5_000);
Object.assign(traffic, { sentBytes: 0, receivedBytes: 0, sent: 0, received: 0 });
const [beganMs, before] = [performance.now(), process.cpuUsage()];
await Bun.sleep(seconds * 1000);
const used = process.cpuUsage(before);
const tookSeconds = (performance.now() - beganMs) / 1000;
const report = link.report();
console.log(
  JSON.stringify({
    members,
    cpuPercent: (used.user + used.system) / 1e4 / tookSeconds,
    userPercent: used.user / 1e4 / tookSeconds,
    sentPerSecond: traffic.sent / tookSeconds,
    receivedPerSecond: traffic.received / tookSeconds,
    sentKiloBytesPerSecond: traffic.sentBytes / 1000 / tookSeconds,
    receivedKiloBytesPerSecond: traffic.receivedBytes / 1000 / tookSeconds,
    heard: report.filter(({ isHeard, roundTripMs }) => isHeard && roundTripMs !== null).length,
    memoryMegabytes: process.memoryUsage.rss() / 1e6,
  }),
);
process.exit(0);
