import { describe, expect, test } from "bun:test";
import { decode, encode, type Packet } from "dns-packet";
import fc from "fast-check";
import { DROPPED, FORWARD, Responder } from "./responder.ts";
import { allocateTable, RECORD, TableReader } from "../zone/table.ts";
import { TableWriter } from "../zone/table-writer.ts";
import { encodeName } from "../wire/wire.ts";

const SEED = 3;
const CLUSTER = { first: 0x0ad20000, prefix: 16 };
const RD = 0x100;

type Decoded = ReturnType<typeof decode> & { rcode: string };

function makeTable(names: Readonly<Record<string, { addresses: readonly number[]; own?: number }>>): TableReader {
  const buffer = allocateTable({
    names: 20,
    arenaBytes: 1024 * 1024,
    ttlSeconds: 60,
    negativeTtlSeconds: 5,
    reverseAddresses: 65_280,
  });
  const writer = new TableWriter(buffer, SEED);
  writer.put(encodeName("jiji")!, RECORD.APEX, [], 0);
  for (const [name, { addresses, own = 0 }] of Object.entries(names)) {
    expect(writer.put(encodeName(name)!, RECORD.NAME, addresses, own)).toBe(true);
    writer.setReverse(addresses[0] === undefined ? 0 : addresses[0] - CLUSTER.first, encodeName(name));
  }
  return new TableReader(buffer);
}

function responderWith(names: Parameters<typeof makeTable>[0]): Responder {
  const responder = new Responder(SEED, CLUSTER);
  responder.use(makeTable(names));
  return responder;
}

function packet(name: string, type = "A", more: Packet = {}): Buffer {
  return encode({ type: "query", id: 5, flags: RD, questions: [{ type: type as "A", name }], ...more });
}

function opt(udpPayloadSize: number, more: object = {}): Packet {
  return { additionals: [{ type: "OPT", name: ".", udpPayloadSize, flags: 0, ...more } as never] };
}

/** The answer's octets. */
/** A place for the message and whatever answers it. */
function roomFor(message: Uint8Array): DataView {
  room.set(message);
  return new DataView(room.buffer);
}

const room = new Uint8Array(140_000);

function answerTo(responder: Responder, message: Uint8Array, isTcp = false): Buffer {
  const bytes = Buffer.alloc(140_000, 0xee);
  bytes.set(message, 16);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = responder.answer(view, 16, message.length, isTcp);
  expect(length).toBeGreaterThan(0);
  // Nothing before the message is touched, and nothing behind the answer but what was the message.
  expect(bytes.subarray(0, 16).every((octet) => octet === 0xee)).toBe(true);
  return bytes.subarray(16, 16 + length);
}

function ask(responder: Responder, name: string, type = "A", more: Packet = {}, isTcp = false): Decoded {
  return decode(answerTo(responder, packet(name, type, more), isTcp)) as Decoded;
}

function addressesOf(answer: Decoded): string[] {
  return (answer.answers as { data: string }[]).map(({ data }) => data);
}

function numbers(count: number, from = 0x0ad20002): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

function textOf(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

describe("answers", () => {
  const responder = responderWith({ "shop-web.jiji": { addresses: numbers(3) }, "shop-sick.jiji": { addresses: [] } });

  // dns-contract: case-and-compression
  test("the question's case is echoed, and owners are pointers to it", () => {
    const message = packet("Shop-WEB.Jiji");
    const bytes = answerTo(responder, message);
    expect(bytes.subarray(12, message.length)).toEqual(message.subarray(12));
    expect(bytes.readUInt16BE(message.length)).toBe(0xc00c);
    // a pointer, type, class, TTL, length, address
    expect(bytes.length).toBe(message.length + 3 * 16);
    const negative = answerTo(responder, packet("Nobody.Jiji"));
    expect(negative.readUInt16BE(packet("Nobody.Jiji").length)).toBe(0xc000 | (12 + 7));
  });

  // dns-contract: header-flags
  test.each([0, RD])("RD (%d) is copied, RA set, AA only for own names", (flags) => {
    const answer = decode(answerTo(responder, packet("shop-web.jiji", "A", { flags })));
    expect(answer).toMatchObject({ flag_rd: flags === RD, flag_ra: true, flag_aa: true, flag_qr: true, flag_z: false });
  });

  test("CD is copied; AD and the reserved bit are not", () => {
    const answer = decode(answerTo(responder, packet("shop-web.jiji", "A", { flags: 0x70 })));
    expect(answer).toMatchObject({ flag_cd: true, flag_ad: false, flag_z: false, flag_tc: false });
  });

  // dns-contract: nodata
  test("a known name without what was asked: NOERROR, no answer, SOA that may be kept for 5 seconds (RFC 2308)", () => {
    for (const [name, type] of [
      ["shop-sick.jiji", "A"],
      ["shop-web.jiji", "AAAA"],
      ["shop-web.jiji", "MX"],
      ["jiji", "A"],
    ] as const) {
      expect(ask(responder, name, type)).toMatchObject({
        rcode: "NOERROR",
        flag_aa: true,
        answers: [],
        authorities: [{ type: "SOA", name: "jiji", ttl: 5, data: { minimum: 5, mname: "ns.jiji" } }],
      });
    }
  });

  // dns-contract: nxdomain
  test("an unknown name, and whatever is below a name that is there: NXDOMAIN with SOA (RFC 8020)", () => {
    for (const name of ["nobody.jiji", "www.shop-web.jiji", "a.b.c.nobody.jiji"]) {
      expect(ask(responder, name)).toMatchObject({
        rcode: "NXDOMAIN",
        answers: [],
        authorities: [{ type: "SOA", name: "jiji", ttl: 5, data: { minimum: 5 } }],
      });
    }
  });

  // dns-contract: apex
  test("the apex: SOA and NS", () => {
    expect(ask(responder, "jiji", "SOA")).toMatchObject({ answers: [{ type: "SOA", name: "jiji" }], authorities: [] });
    expect(ask(responder, "JIJI", "NS")).toMatchObject({ answers: [{ type: "NS", name: "JIJI", data: "ns.jiji" }] });
    expect(ask(responder, "jiji", "SOA", opt(1232))).toMatchObject({ additionals: [{ type: "OPT" }] });
  });

  // dns-contract: any
  test("ANY gives one RRset (RFC 8482)", () => {
    const types = new Set(ask(responder, "shop-web.jiji", "ANY").answers!.map(({ type }) => type));
    expect([...types]).toEqual(["A"]);
    expect(ask(responder, "shop-sick.jiji", "ANY")).toMatchObject({ answers: [], authorities: [{ type: "SOA" }] });
    expect(ask(responder, "jiji", "ANY").answers).toHaveLength(1);
    expect(ask(responder, "2.0.210.10.in-addr.arpa", "ANY")).toMatchObject({ answers: [{ type: "PTR" }] });
  });

  test("PTR of the cluster's addresses, never forwarded; others' are", () => {
    expect(ask(responder, "2.0.210.10.in-addr.arpa", "PTR")).toMatchObject({ answers: [{ data: "shop-web.jiji" }] });
    expect(ask(responder, "9.255.210.10.IN-ADDR.arpa", "PTR")).toMatchObject({
      rcode: "NXDOMAIN",
      authorities: [{ type: "SOA", name: "210.10.IN-ADDR.arpa" }],
    });
    const bytes = Buffer.alloc(2048);
    const message = packet("2.0.211.10.in-addr.arpa", "PTR");
    bytes.set(message);
    expect(responder.answer(new DataView(bytes.buffer, bytes.byteOffset), 0, message.length, false)).toBe(FORWARD);
  });

  test("without a table own names fail, and other names are forwarded", () => {
    const empty = new Responder(SEED, CLUSTER);
    expect(ask(empty, "shop-web.jiji")).toMatchObject({ rcode: "SERVFAIL", answers: [], flag_aa: false });
    expect(ask(empty, "2.0.210.10.in-addr.arpa", "PTR")).toMatchObject({ rcode: "SERVFAIL" });
    const message = packet("example.org");
    const view = new DataView(message.buffer.slice(message.byteOffset, message.byteOffset + message.length));
    expect(empty.answer(view, 0, message.length, false)).toBe(FORWARD);
  });

  // dns-contract: refused-notimp-formerr
  test("another class is refused, another opcode not implemented, no or two questions malformed", () => {
    expect(
      ask(responder, "shop-web.jiji", "A", { questions: [{ type: "A", name: "shop-web.jiji", class: "CH" }] }),
    ).toMatchObject({
      rcode: "REFUSED",
      questions: [{ name: "shop-web.jiji" }],
      answers: [],
    });
    const message = packet("shop-web.jiji");
    message.writeUInt16BE(0x2900, 2);
    expect(decode(answerTo(responder, message))).toMatchObject({ rcode: "NOTIMP", opcode: "UPDATE", id: 5 });
    for (const questions of [[], [0, 1].map(() => ({ type: "A" as const, name: "shop-web.jiji" }))]) {
      const answer = answerTo(responder, encode({ type: "query", id: 6, questions }));
      expect(decode(answer)).toMatchObject({ rcode: "FORMERR", id: 6, questions: [], answers: [] });
      expect(answer.length).toBe(12);
    }
  });

  test("what is no question gets no answer", () => {
    const bytes = new DataView(new ArrayBuffer(2048));
    expect(responder.answer(bytes, 0, 5, false)).toBe(DROPPED);
    bytes.setUint16(2, 0x8100);
    expect(responder.answer(bytes, 0, 12, false)).toBe(DROPPED);
  });
});

describe("EDNS", () => {
  const responder = responderWith({
    "shop-web.jiji": { addresses: numbers(3) },
    "shop-many.jiji": { addresses: numbers(200) },
  });

  // dns-contract: edns-opt
  test("OPT is answered with OPT: 1232 octets, version 0, DO as it was, no options (RFC 6891)", () => {
    const answer = ask(
      responder,
      "shop-web.jiji",
      "A",
      opt(4096, { flags: 0x8000, options: [{ code: 10, data: Buffer.alloc(8) }] }),
    );
    expect(answer.additionals).toMatchObject([
      { type: "OPT", udpPayloadSize: 1232, ednsVersion: 0, flag_do: true, options: [] },
    ]);
    expect(ask(responder, "shop-web.jiji", "A", opt(512)).additionals).toMatchObject([{ flag_do: false }]);
    expect(ask(responder, "shop-web.jiji").additionals).toEqual([]);
  });

  // dns-contract: badvers
  test("an unknown version: BADVERS with our version, the question, no answer", () => {
    const answer = answerTo(responder, packet("shop-web.jiji", "A", opt(1232, { ednsVersion: 1 })));
    const decoded = decode(answer);
    expect(decoded).toMatchObject({ answers: [], questions: [{ name: "shop-web.jiji" }] });
    expect(decoded.additionals).toMatchObject([{ type: "OPT", ednsVersion: 0, extendedRcode: 1 }]);
    expect((answer[3] ?? 0) & 15).toBe(0);
  });

  // dns-contract: tc
  test.each([
    [undefined, 512],
    [1, 512],
    [511, 512],
    [600, 600],
    [1232, 1232],
    [65_535, 1232],
  ])("a payload of %p octets: the answer has at most %d, TC is set, whole records only", (size, most) => {
    const bytes = answerTo(responder, packet("shop-many.jiji", "A", size === undefined ? {} : opt(size)));
    const answer = decode(bytes) as Decoded;
    expect(answer.flag_tc).toBe(true);
    expect(bytes.length).toBeLessThanOrEqual(most);
    expect(bytes.length).toBeGreaterThan(most - 16);
  });

  // dns-contract: tcp-whole
  test("over TCP the same is whole", () => {
    const answer = ask(responder, "shop-many.jiji", "A", opt(512), true);
    expect(answer.flag_tc).toBe(false);
    expect(answer.answers).toHaveLength(200);
  });

  // dns-contract: tcp-whole
  test("more addresses than a TCP message holds are cut at its end, with TC", () => {
    const huge = responderWith({ "shop-huge.jiji": { addresses: numbers(6000) } });
    const bytes = answerTo(huge, packet("shop-huge.jiji"), true);
    expect(bytes.length).toBeLessThanOrEqual(65_535);
    expect(decode(bytes)).toMatchObject({ flag_tc: true });
  });
});

describe("order", () => {
  // dns-contract: rotation
  test("it rotates with each answer, so that each address comes first equally often", () => {
    const responder = responderWith({ "shop-web.jiji": { addresses: numbers(5) } });
    const first = new Map<string, number>();
    for (let i = 0; i < 100; i++) {
      const [address = ""] = addressesOf(ask(responder, "shop-web.jiji"));
      first.set(address, (first.get(address) ?? 0) + 1);
    }
    expect([...first.values()]).toEqual([20, 20, 20, 20, 20]);
  });

  // dns-contract: local-first
  test("with local_first own containers come before the others, and both groups rotate", () => {
    const responder = responderWith({ "shop-web.jiji": { addresses: numbers(5), own: 2 } });
    const own = new Set(numbers(2).map(textOf));
    const seen = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const found = addressesOf(ask(responder, "shop-web.jiji"));
      expect(found.slice(0, 2).every((address) => own.has(address))).toBe(true);
      seen.add(found.join(" "));
    }
    expect(seen.size).toBe(6);
  });

  // dns-contract: all-healthy-addresses
  test("whatever the number of addresses and the room, no address is doubled, and none is missing without TC (property)", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 120 }),
        fc.nat({ max: 120 }),
        fc.option(fc.integer({ min: 0, max: 2000 })),
        fc.nat({ max: 200 }),
        fc.boolean(),
        (count, own, size, turns, isTcp) => {
          const addresses = numbers(count);
          const responder = responderWith({ "shop-web.jiji": { addresses, own: Math.min(own, count) } });
          const asked = packet("shop-web.jiji");
          for (let i = 0; i < turns; i++) responder.answer(roomFor(asked), 0, asked.length, false);
          const answer = ask(responder, "shop-web.jiji", "A", size === null ? {} : opt(size), isTcp);
          const found = addressesOf(answer);
          expect(new Set(found).size).toBe(found.length);
          const known = new Set(addresses.map(textOf));
          expect(found.every((address) => known.has(address))).toBe(true);
          expect(answer.flag_tc).toBe(found.length < count);
          const ownOnes = new Set(addresses.slice(0, Math.min(own, count)).map(textOf));
          const head = found.slice(0, ownOnes.size);
          expect(head.every((address) => ownOnes.has(address))).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});
