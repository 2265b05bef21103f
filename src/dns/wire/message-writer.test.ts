import { describe, expect, test } from "bun:test";
import { decode, type StringAnswer } from "dns-packet";
import fc from "fast-check";
import { MessageWriter } from "./message-writer.ts";
import { encodeName, TYPE } from "./wire.ts";

const wire = (name: string): Uint8Array => encodeName(name)!;

/** A message up to the end of its question. */
function questionFor(name: string): Uint8Array {
  return Uint8Array.from([0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...wire(name), 0, TYPE.SRV, 0, 1]);
}

/** The message with its counts set. */
function finished(writer: MessageWriter, answers: number, additionals: number): Buffer {
  const message = Buffer.from(writer.bytes());
  message.writeUInt16BE(answers, 6);
  message.writeUInt16BE(additionals, 10);
  return message;
}

describe("names after a question", () => {
  test("owners of answers are pointers to the question, in whatever case it was asked", () => {
    const question = questionFor("_80._TCP.Shop-Web.JIJI");
    const writer = new MessageWriter(question);
    writer.srv(wire("_80._tcp.shop-web.jiji"), 60, 80, wire("shop-web-b.jiji"));
    expect(writer.bytes()[question.length]).toBe(0xc0);
    expect(writer.bytes()[question.length + 1]).toBe(12);
  });

  // dns-contract: case-and-compression
  test("SRV's targets are whole (RFC 2782), owners of their addresses point to what was written before", () => {
    const question = questionFor("_80._tcp.shop-web.jiji");
    const owner = question.subarray(12, -4);
    const target = wire("shop-web-b.jiji");
    const writer = new MessageWriter(question);
    writer.srv(owner, 60, 80, target);
    const srvEnd = writer.length;
    // a pointer, type, class, TTL, length; priority, weight, port; the name
    expect(srvEnd - question.length).toBe(2 + 10 + 6 + target.length);
    expect(writer.bytes().subarray(srvEnd - target.length)).toEqual(target);
    writer.a(target, 60, 0x0ad20002);
    // its first label, and a pointer to `jiji` in the question
    expect(writer.length - srvEnd).toBe(1 + "shop-web-b".length + 2 + 10 + 4);
    const firstEnd = writer.length;
    writer.a(target, 60, 0x0ad20003);
    expect(writer.length - firstEnd).toBe(2 + 10 + 4);
    const { answers, additionals } = decode(finished(writer, 1, 2));
    expect(answers).toMatchObject([
      { name: "_80._tcp.shop-web.jiji", data: { priority: 0, weight: 0, port: 80, target: "shop-web-b.jiji" } },
    ]);
    expect((additionals as StringAnswer[]).map(({ name, data }) => [name, data])).toEqual([
      ["shop-web-b.jiji", "10.210.0.2"],
      ["shop-web-b.jiji", "10.210.0.3"],
    ]);
  });

  test("an independent library reads what was written, also far behind what can be pointed to (property)", () => {
    const label = fc.constantFrom("a", "b", "jiji", "shop-web", "x".repeat(63));
    const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
    const record = fc.oneof(
      fc.record({ type: fc.constant("A" as const), name }),
      fc.record({ type: fc.constant("SRV" as const), name, target: name, port: fc.nat({ max: 65_535 }) }),
      fc.record({
        type: fc.constant("TXT" as const),
        name,
        texts: fc.array(fc.oneof(fc.string(), fc.constantFrom("é".repeat(200), "x".repeat(255), "x".repeat(256))), {
          minLength: 1,
        }),
      }),
    );
    fc.assert(
      fc.property(name, fc.array(record, { maxLength: 30 }), fc.boolean(), (asked, records, isLong) => {
        const writer = new MessageWriter(questionFor(asked));
        const filler = isLong ? ["f".repeat(255)] : [];
        for (let i = 0; i < (isLong ? 63 : 0); i++) writer.txt(wire("filler"), 1, filler);
        for (const one of records) {
          if (one.type === "A") writer.a(wire(one.name), 7, 0x0ad20002);
          else if (one.type === "SRV") writer.srv(wire(one.name), 7, one.port, wire(one.target));
          else writer.txt(wire(one.name), 7, one.texts);
        }
        const fillers = isLong ? 63 : 0;
        const { answers } = decode(finished(writer, fillers + records.length, 0));
        expect(answers!.slice(fillers).map((answer) => answer.name)).toEqual(records.map((one) => one.name));
        for (const [index, one] of records.entries()) {
          const read = answers![fillers + index] as { type: string; data: unknown };
          const data =
            one.type === "A"
              ? "10.210.0.2"
              : one.type === "SRV"
                ? { priority: 0, weight: 0, port: one.port, target: one.target }
                : one.texts.map((text) => Buffer.from(text).subarray(0, 255));
          expect([read.type, read.data]).toEqual([one.type, data]);
        }
      }),
      { numRuns: 200 },
    );
  });
});
