import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodePacket, encodePacket, MAX_NEWS_ROWS, type Packet } from "./packet.ts";
import { anyText } from "../../../test/any-text.ts";

const number32 = fc.integer({ min: 0, max: 0xffff_ffff });
const probes = fc.record({
  type: fc.constantFrom("ping" as const, "pong" as const),
  isReady: fc.boolean(),
  isConfirmed: fc.boolean(),
  sequence: fc.integer({ min: 1, max: 0xffff_ffff }),
  heard: number32,
  roundTripMs: fc.option(
    fc.integer({ min: 0, max: 65_534 }).map((tenths) => tenths / 10),
    { nil: undefined },
  ),
});
const packets: fc.Arbitrary<Packet> = fc.oneof(
  probes,
  fc.record({ type: fc.constant("ack" as const), message: number32 }),
  fc.constant({ type: "recheck" as const }),
  fc.record({
    type: fc.constant("news" as const),
    message: number32,
    rows: fc.array(fc.tuple(fc.nat(4095), anyText()), { maxLength: MAX_NEWS_ROWS }),
  }),
);

describe("datagrams between agents", () => {
  test("what was written is read back", () => {
    fc.assert(fc.property(packets, (packet) => expect(decodePacket(encodePacket(packet))).toEqual(packet)));
  });

  // security-tests: gossip-bounds
  test("arbitrary octets never throw, and what is read from them is a packet", () => {
    const octets = fc.uint8Array({ size: "max", maxLength: 300 });
    const near = fc.tuple(fc.nat(6), octets).map(([type, rest]) => Uint8Array.from([0x4a, 1, type, ...rest]));
    fc.assert(
      fc.property(fc.oneof(octets, near), (data) => {
        const packet = decodePacket(Buffer.from(data));
        if (packet !== undefined) expect(decodePacket(encodePacket(packet))).toEqual(packet);
      }),
      { numRuns: 2000 },
    );
  });

  test("a packet with one octet more or less, or of another version, is none", () => {
    fc.assert(
      fc.property(probes, (packet) => {
        const data = encodePacket(packet);
        expect(decodePacket(data.subarray(0, -1))).toBeUndefined();
        expect(decodePacket(Buffer.concat([data, Buffer.from([0])]))).toBeUndefined();
        data[1] = 2;
        expect(decodePacket(data)).toBeUndefined();
      }),
    );
  });

  test.each(["{}", '[[-1,""]]', "[[0,1]]", '[[0,"",1]]', "[0]", "null", '[[4096,""]]', '[[0.5,""]]'])(
    "%s is no news",
    (text) => {
      expect(
        decodePacket(Buffer.concat([Buffer.from([0x4a, 1, 2, 0, 0, 0, 0, 1]), Buffer.from(text)])),
      ).toBeUndefined();
    },
  );

  test("a probe is small enough that a large mesh hardly notices it", () => {
    const ping = encodePacket({
      type: "ping",
      isReady: true,
      isConfirmed: false,
      sequence: 1,
      heard: 0,
      roundTripMs: 5,
    });
    const ipAndUdpBytes = 28;
    expect((ping.length + ipAndUdpBytes) * 2 * 254).toBeLessThan(30_000);
  });
});
