import { encode, type Packet } from "dns-packet";
import type { SeededRandom } from "./random.ts";

const RD = 0x100;
const TYPES = ["A", "AAAA", "SRV", "TXT", "PTR", "SOA", "NS", "ANY", "MX", "CNAME", "DS", "AXFR"];

/** Well-formed questions of every sort, to begin from. */
export function corpusOf(names: readonly string[]): readonly Uint8Array[] {
  const packets: Packet[] = names.flatMap((name) =>
    TYPES.map((type) => ({ type: "query" as const, id: 0, flags: RD, questions: [{ type: type as "A", name }] })),
  );
  const variants = [
    {},
    { additionals: [{ type: "OPT", name: ".", udpPayloadSize: 4096, flags: 0x8000 }] as never },
    { additionals: [{ type: "OPT", name: ".", udpPayloadSize: 600, ednsVersion: 1, flags: 0 }] as never },
    {
      additionals: [
        { type: "OPT", name: ".", udpPayloadSize: 1232, options: [{ code: 10, data: Buffer.alloc(8) }] },
      ] as never,
    },
    { flags: 0x0910 },
    { additionals: [{ type: "A", name: "extra.jiji", data: "192.0.2.1", ttl: 1 }] as never },
  ];
  return packets.flatMap((packet) => variants.map((more) => Uint8Array.from(encode({ ...packet, ...more }))));
}

/** Changes of a message that somebody hostile, or a broken client, might make. Each gives a new list of octets. */
const MUTATIONS: readonly ((octets: number[], random: SeededRandom) => void)[] = [
  (octets, random) => flip(octets, random.next(octets.length || 1), 1 << random.next(8)),
  (octets, random) => void (octets[random.next(octets.length || 1)] = random.next(256)),
  (octets, random) => void octets.splice(random.next(octets.length || 1), 1 + random.next(4)),
  (octets, random) => void octets.splice(random.next(octets.length || 1), 0, ...octetsOf(random, 1 + random.next(4))),
  (octets, random) => void (octets.length = random.next(octets.length + 1)),
  (octets, random) => void octets.push(...octetsOf(random, 1 + random.next(40))),
  // counts that lie
  (octets, random) => void (octets[4 + random.next(8)] = random.next(4)),
  // opcodes, QR, reserved bits
  (octets, random) => void (octets[2 + random.next(2)] = random.next(256)),
  // pointers: to itself, forward, into the header
  (octets, random) => {
    const at = 12 + random.next(Math.max(1, octets.length - 12));
    const target = random.pick([at, at + 2, at - 1, 12, 0, 0x3fff, random.next(512)]);
    octets.splice(at, random.next(3), 0xc0 | ((target >>> 8) & 0x3f), target & 255);
  },
  // labels of 64 octets and of types that there are not
  (octets, random) =>
    void octets.splice(12, 0, random.pick([64, 63, 0x80, 0xbf]), ...octetsOf(random, random.pick([3, 63, 64]))),
  // names that are too long
  (octets, random) => {
    const label = [63, ...octetsOf(random, 63)];
    octets.splice(12, 0, ...Array.from({ length: 3 + random.next(2) }, () => label).flat());
  },
  // a label of any octets before the name
  (octets, random) => {
    const length = 1 + random.next(5);
    octets.splice(12, 0, length, ...octetsOf(random, length));
  },
  // OPT that is cut, doubled or lies about its length
  (octets, random) => {
    const length = random.pick([0, 1, 4, 5, 255]);
    octets.push(0, 0, 41, 4, 208, 0, random.next(2), 0, 0, 0, length, ...octetsOf(random, random.pick([0, 4, length])));
    octets[11] = 1 + random.next(2);
  },
  // another case of letters
  (octets) => {
    for (let at = 12; at < octets.length; at += 2)
      octets[at] = (octets[at] ?? 0) ^ ((octets[at] ?? 0) > 0x60 ? 0x20 : 0);
  },
];

function flip(octets: number[], at: number, bits: number): void {
  octets[at] = (octets[at] ?? 0) ^ bits;
}

function octetsOf(random: SeededRandom, count: number): number[] {
  return Array.from({ length: count }, () => random.next(256));
}

/** A message with none to four mutations, or none at all of what it was. */
export function mutated(corpus: readonly Uint8Array[], random: SeededRandom): number[] {
  if (random.isOneIn(50)) return octetsOf(random, random.next(100));
  const octets = [...random.pick(corpus)];
  const count = random.next(5);
  for (let i = 0; i < count; i++) random.pick(MUTATIONS)(octets, random);
  for (let at = 0; at < octets.length; at++) octets[at] = (octets[at] ?? 0) & 255;
  return octets;
}
