import { startLink, type AgentLink } from "../../src/agent/mesh/link.ts";
import type { NewsRecord } from "../../src/agent/mesh/news.ts";
import { encodePacket, type Packet } from "../../src/agent/mesh/packet.ts";
import { isContainerAddress, type ClusterCidr, type SubnetNumber } from "../../src/model/cluster.ts";
import { encodeContainerRecord, parseContainerRecord, type ContainerRecord } from "../../src/model/container-record.ts";
import { PORTS } from "../../src/model/ports.ts";
import type { Member } from "../../src/model/server-record.ts";
import { systemClock } from "../../src/system/clock.ts";
import { systemUdp } from "../../src/system/udp.ts";
import type { UdpSocket } from "../../src/system/udp-port.ts";
import { SeededRandom } from "./random.ts";

export interface AgentFuzzReport {
  readonly seed: number;
  readonly packets: number;
  /** records of the hostile members that were believed */
  readonly believed: number;
  /** datagrams that were not looked at, by reason */
  readonly dropped: Readonly<Record<string, number>>;
  /** how often the agent was made to compare its rows */
  readonly rechecks: number;
  readonly megabytesGrown: number;
  /** what went wrong; empty when nothing did */
  readonly complaints: readonly string[];
}

/** Number 0 is the agent under fire, 1 a well-behaved one, the others are hostile members. */
const MEMBERS = 6;
const ROUND = 200;

const idOf = (n: number): string => n.toString(16).padStart(32, "0");

/**
 * Sends mutated datagrams from members' addresses to a real link over loopback, while another real link speaks with it.
 * Whatever comes: nothing throws, nobody is believed about another's containers, and the well-behaved one stays heard.
 */
export async function fuzzAgent(options: {
  readonly packets: number;
  readonly seed: number;
}): Promise<AgentFuzzReport> {
  // other runs on this machine have other addresses
  const net = `127.${16 + (process.pid % 200)}`;
  const cluster = `${net}.0.0/16` as ClusterCidr;
  const random = new SeededRandom(options.seed);
  const news: NewsRecord[] = [];
  let rechecks = 0;
  const start = (n: number, onNews: (records: readonly NewsRecord[]) => void): AgentLink => {
    const link = startLink({
      self: { id: idOf(n), subnet: n as SubnetNumber },
      cluster,
      udp: systemUdp,
      clock: systemClock,
      log: { info: () => undefined, warn: () => undefined },
      random: Math.random,
      lost: new Set(),
      onReachability: () => undefined,
      onNews,
      onRecheck: () => rechecks++,
    });
    link.setReady(true);
    const member = (m: number): Member => ({ id: idOf(m), subnet: m, name: `s${m}`, nat: false }) as unknown as Member;
    link.setMembers(Array.from({ length: MEMBERS }, (_, m) => member(m)));
    return link;
  };
  const subject = start(0, (records) => news.push(...records));
  const peer = start(1, () => undefined);
  const hostile: UdpSocket[] = [];
  for (let n = 2; n < MEMBERS; n++) {
    const quiet = { onData: () => undefined, onError: () => undefined };
    hostile.push(await systemUdp.bind(`${net}.${n}.1`, PORTS.agent, quiet));
  }
  try {
    await untilHeard(peer, subject);
    const before = process.memoryUsage.rss();
    const corpus = corpusOf(net);
    for (let sent = 0; sent < options.packets; sent++) {
      const datagram = mutated(random.pick(corpus), random);
      random.pick(hostile).send(datagram, PORTS.agent, `${net}.0.1`);
      if (sent % ROUND === 0) await Bun.sleep(1);
    }
    await Bun.sleep(300);
    const complaints = news.flatMap((record) => complaintAbout(record, cluster));
    const told = tell(peer, net);
    await Bun.sleep(300);
    if (!news.some(({ serverId, record }) => serverId === idOf(1) && record === told)) {
      complaints.push("the well-behaved member is not heard any more");
    }
    const isHeard = subject.report().find(({ id }) => id === idOf(1))?.isHeard;
    if (isHeard !== true) complaints.push("the well-behaved member counts as lost");
    return {
      seed: options.seed,
      packets: options.packets,
      believed: news.length - 1,
      dropped: { ...subject.dropped },
      rechecks,
      megabytesGrown: (process.memoryUsage.rss() - before) / 1e6,
      complaints,
    };
  } finally {
    for (const each of [subject, peer, ...hostile]) each.close();
  }
}

async function untilHeard(...links: readonly AgentLink[]): Promise<void> {
  const deadline = performance.now() + 20_000;
  const isHeard = (link: AgentLink): boolean => link.report().some(({ roundTripMs }) => roundTripMs !== null);
  while (!links.every((link) => isHeard(link))) {
    if (performance.now() > deadline) throw new Error("the two agents never met");
    await Bun.sleep(10);
  }
}

/** A record is believed only as its sender's own: with an address of the sender's, and a rev that orders something. */
function complaintAbout({ serverId, n, record }: NewsRecord, cluster: ClusterCidr): string[] {
  const parsed = parseContainerRecord(record);
  const subnet = Number.parseInt(serverId, 16) as SubnetNumber;
  if (parsed === undefined) return [`row ${n} of ${serverId} is no record: ${record}`];
  if (parsed.address !== null && !isContainerAddress(cluster, subnet, parsed.address)) {
    return [`row ${n} of ${serverId} has the address ${parsed.address}`];
  }
  return Number.isSafeInteger(parsed.rev) && parsed.rev < Date.now() + 2 * 86_400_000
    ? []
    : [`row ${n} of ${serverId} has rev ${parsed.rev}`];
}

function recordOf(address: string, rev: number, name = "web"): string {
  return encodeContainerRecord({
    containerId: "a".repeat(64),
    project: "shop",
    service: name,
    instance: null,
    address,
    state: "healthy",
    ports: [{ port: 80, protocol: "tcp" }],
    meta: { name },
    rev,
  } as unknown as ContainerRecord);
}

function tell(link: AgentLink, net: string): string {
  const text = recordOf(`${net}.1.9`, Date.now());
  link.tell([[7, text]]);
  return text;
}

/** Well-formed datagrams of every sort, some of them lies. */
function corpusOf(net: string): readonly Buffer[] {
  const probe = { isReady: true, isConfirmed: true, sequence: 7, heard: 3, roundTripMs: 1.5 } as const;
  const rows = (...records: readonly string[]): Packet => ({
    type: "news",
    message: 1,
    rows: records.map((record, n) => [n, record] as const),
  });
  const packets: readonly Packet[] = [
    { type: "ping", ...probe },
    { type: "pong", ...probe },
    { type: "ack", message: 1 },
    { type: "recheck" },
    rows(recordOf(`${net}.2.9`, Date.now())),
    rows(recordOf(`${net}.3.9`, 1), recordOf(`${net}.1.9`, Date.now())),
    rows(recordOf(`${net}.0.1`, Number.MAX_SAFE_INTEGER), recordOf("192.0.2.1", 5)),
    rows(...Array.from({ length: 20 }, (_, n) => recordOf(`${net}.4.${n + 2}`, n, "x".repeat(40)))),
    rows("", "{}", "null", "[]"),
  ];
  return packets.map((packet) => encodePacket(packet));
}

const MUTATIONS: readonly ((octets: number[], random: SeededRandom) => void)[] = [
  (octets, random) => {
    const at = random.next(octets.length || 1);
    octets[at] = (octets[at] ?? 0) ^ (1 << random.next(8));
  },
  (octets, random) => void (octets[random.next(octets.length || 1)] = random.next(256)),
  // the head: magic, version, type, flags
  (octets, random) => void (octets[random.next(4)] = random.next(8)),
  (octets, random) => void octets.splice(random.next(octets.length || 1), 1 + random.next(8)),
  (octets, random) => void (octets.length = random.next(octets.length + 1)),
  (octets, random) => {
    octets.splice(
      random.next(octets.length || 1),
      0,
      ...Array.from({ length: 1 + random.next(8) }, () => random.next(256)),
    );
  },
  // what JSON is made of, in the wrong places
  (octets, random) =>
    void octets.splice(
      8 + random.next(200),
      0,
      ...Buffer.from(random.pick(['"', "\\", "[", "]", "1e999", "-", "\\ud800"])),
    ),
  // numbers of rows
  (octets, random) => void (octets[10] = 0x30 + random.next(10)),
];

function mutated(datagram: Buffer, random: SeededRandom): Buffer {
  const octets = [...datagram];
  for (let count = random.next(4); count > 0; count--) random.pick(MUTATIONS)(octets, random);
  return Buffer.from(octets);
}
