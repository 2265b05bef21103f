import { describe, expect, test } from "bun:test";
import { decode } from "dns-packet";
import fc from "fast-check";
import { readSlowly } from "../../../test/dns/slow-question-reader.ts";
import { lowerWord, NOT_A_QUESTION, Question, readQuestion } from "./question.ts";
import { encodeName, formatName, RCODE, TYPE } from "./wire.ts";

const IN = 1;

/** A message from its parts; the counts may lie. */
function message(parts: {
  flags?: number;
  counts?: readonly [number, number, number, number];
  name?: readonly number[];
  type?: number;
  klass?: number;
  rest?: readonly number[];
}): Uint8Array {
  const { flags = 0x100, counts = [1, 0, 0, 0], name = wire("shop-web.jiji"), type = TYPE.A, klass = IN } = parts;
  const words = [4711, flags, ...counts].flatMap((word) => [word >>> 8, word & 255]);
  return Uint8Array.from([...words, ...name, type >>> 8, type & 255, klass >>> 8, klass & 255, ...(parts.rest ?? [])]);
}

function wire(name: string): number[] {
  return [...encodeName(name)!];
}

function opt(
  parts: { name?: number[]; size?: number; version?: number; flags?: number; data?: number[]; length?: number } = {},
) {
  const { name = [0], size = 1232, version = 0, flags = 0, data = [], length = data.length } = parts;
  const words = (...numbers: number[]) => numbers.flatMap((word) => [word >>> 8, word & 255]);
  return [...name, ...words(TYPE.OPT, size), 0, version, ...words(flags, length), ...data];
}

function read(bytes: Uint8Array): { verdict: number; question: Question } {
  // Something else stands around the message, as in a batch of packets.
  const around = new Uint8Array(bytes.length + 64).fill(0xc0);
  around.set(bytes, 32);
  const question = new Question(99);
  const verdict = readQuestion(new DataView(around.buffer), 32, bytes.length, question);
  expect([...around.subarray(32, 32 + bytes.length)]).toEqual([...bytes]);
  return { verdict, question };
}

const label = (length: number) => [length, ...Array.from({ length }, () => 0x61)];
const withOpt: [number, number, number, number] = [1, 0, 0, 1];

const CASES: readonly (readonly [what: string, verdict: number, bytes: Uint8Array])[] = [
  ["a plain question", RCODE.NOERROR, message({})],
  ["nothing", NOT_A_QUESTION, new Uint8Array(0)],
  ["eleven octets", NOT_A_QUESTION, message({}).subarray(0, 11)],
  ["a header alone", RCODE.FORMERR, message({}).subarray(0, 12)],
  ["a response", NOT_A_QUESTION, message({ flags: 0x8100 })],
  ["a response of another opcode", NOT_A_QUESTION, message({ flags: 0xa900 })],
  ["an inverse query", RCODE.NOTIMP, message({ flags: 0x0900 })],
  ["a status query", RCODE.NOTIMP, message({ flags: 0x1100 })],
  ["a notification", RCODE.NOTIMP, message({ flags: 0x2100 })],
  ["an update", RCODE.NOTIMP, message({ flags: 0x2900 })],
  ["an opcode that there is not", RCODE.NOTIMP, message({ flags: 0x7900 })],
  ["no question", RCODE.FORMERR, message({ counts: [0, 0, 0, 0] })],
  ["two questions", RCODE.FORMERR, message({ counts: [2, 0, 0, 0], rest: [...wire("jiji"), 0, 1, 0, 1] })],
  ["65,535 questions", RCODE.FORMERR, message({ counts: [65_535, 0, 0, 0] })],
  ["an answer in the question", RCODE.FORMERR, message({ counts: [1, 1, 0, 0] })],
  ["an authority in the question", RCODE.FORMERR, message({ counts: [1, 0, 1, 0] })],
  ["more records than there are", RCODE.FORMERR, message({ counts: [1, 0, 0, 2], rest: opt() })],
  ["fewer records than there are", RCODE.FORMERR, message({ rest: opt() })],
  ["one octet behind", RCODE.FORMERR, message({ rest: [0] })],
  ["one octet behind OPT", RCODE.FORMERR, message({ counts: withOpt, rest: [...opt(), 0] })],
  ["a label of 63 octets", RCODE.NOERROR, message({ name: [...label(63), 0] })],
  ["a label of 64 octets", RCODE.FORMERR, message({ name: [64, ...label(63), 0] })],
  ["a label type of the future", RCODE.FORMERR, message({ name: [0x80, ...label(3), 0] })],
  [
    "a name of 255 octets",
    RCODE.NOERROR,
    message({ name: [...label(63), ...label(63), ...label(63), ...label(61), 0] }),
  ],
  [
    "a name of 256 octets",
    RCODE.FORMERR,
    message({ name: [...label(63), ...label(63), ...label(63), ...label(62), 0] }),
  ],
  ["a name without an end", RCODE.FORMERR, message({}).subarray(0, 20)],
  ["a name and no type", RCODE.FORMERR, message({}).subarray(0, 12 + 15 + 3)],
  ["a pointer to itself", RCODE.FORMERR, message({ name: [0xc0, 12] })],
  ["a pointer forward", RCODE.FORMERR, message({ name: [0xc0, 40] })],
  ["a pointer into the header", RCODE.FORMERR, message({ name: [0xc0, 0] })],
  ["a label, then a pointer to it", RCODE.FORMERR, message({ name: [...label(3), 0xc0, 12] })],
  ["the root", RCODE.NOERROR, message({ name: [0] })],
  ["labels of any octets", RCODE.NOERROR, message({ name: [4, 0, 255, 46, 95, 1, 32, 0] })],
  ["class CH", RCODE.REFUSED, message({ klass: 3 })],
  ["class ANY", RCODE.REFUSED, message({ klass: 255 })],
  ["class 0", RCODE.REFUSED, message({ klass: 0 })],
  ["type 0", RCODE.REFUSED, message({ type: 0 })],
  ["OPT as a question", RCODE.REFUSED, message({ type: TYPE.OPT })],
  ["a zone transfer", RCODE.REFUSED, message({ type: 252 })],
  ["an incremental zone transfer", RCODE.REFUSED, message({ type: 251 })],
  ["a transaction key", RCODE.REFUSED, message({ type: 249 })],
  ["ANY", RCODE.NOERROR, message({ type: TYPE.ANY })],
  ["a type above 255", RCODE.NOERROR, message({ type: 257 })],
  ["EDNS", RCODE.NOERROR, message({ counts: withOpt, rest: opt() })],
  ["EDNS with a cookie", RCODE.NOERROR, message({ counts: withOpt, rest: opt({ data: [0, 10, 0, 2, 1, 2] }) })],
  ["EDNS of version 1", RCODE.BADVERS, message({ counts: withOpt, rest: opt({ version: 1 }) })],
  ["EDNS of version 255", RCODE.BADVERS, message({ counts: withOpt, rest: opt({ version: 255 }) })],
  ["EDNS twice", RCODE.FORMERR, message({ counts: [1, 0, 0, 2], rest: [...opt(), ...opt()] })],
  ["EDNS of another name", RCODE.FORMERR, message({ counts: withOpt, rest: opt({ name: [1, 97, 0] }) })],
  ["EDNS of a name that is pointed to", RCODE.FORMERR, message({ counts: withOpt, rest: opt({ name: [0xc0, 12] }) })],
  ["EDNS that is cut in its head", RCODE.FORMERR, message({ counts: withOpt, rest: opt().slice(0, 7) })],
  ["EDNS that is longer than the message", RCODE.FORMERR, message({ counts: withOpt, rest: opt({ length: 4 }) })],
  [
    "an option that is longer than EDNS",
    RCODE.FORMERR,
    message({ counts: withOpt, rest: opt({ data: [0, 10, 0, 9, 1] }) }),
  ],
  ["half an option", RCODE.FORMERR, message({ counts: withOpt, rest: opt({ data: [0, 10, 0] }) })],
  [
    "another additional record",
    RCODE.NOERROR,
    message({ counts: withOpt, rest: [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4] }),
  ],
  [
    "an additional record that points forward",
    RCODE.FORMERR,
    message({ counts: withOpt, rest: [0xc0, 60, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0] }),
  ],
];

describe("reading a question", () => {
  test.each(CASES)("%s", (_what, verdict, bytes) => {
    expect(read(bytes).verdict).toBe(verdict);
  });

  test("EDNS says how much the client takes, and whether it wants DNSSEC", () => {
    const { question } = read(message({ counts: withOpt, rest: opt({ size: 4096, flags: 0x8000 }) }));
    expect(question).toMatchObject({ hasOpt: true, udpPayloadBytes: 4096, isDnssecOk: true });
    expect(read(message({})).question).toMatchObject({ hasOpt: false, udpPayloadBytes: 0, isDnssecOk: false });
  });

  test("letters are lower-cased, and no other octet is touched (property)", () => {
    const octets = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 63 });
    const names = fc.array(octets, { maxLength: 4 }).filter((labels) => labels.flat().length + labels.length < 255);
    fc.assert(
      fc.property(names, (labels) => {
        const name = [...labels.flatMap((one) => [one.length, ...one]), 0];
        const { verdict, question } = read(message({ name }));
        expect(verdict).toBe(RCODE.NOERROR);
        const lower = labels.map((one) => one.map((octet) => (octet >= 65 && octet <= 90 ? octet + 32 : octet)));
        expect([...question.nameCopy()]).toEqual([...lower.flatMap((one) => [one.length, ...one]), 0]);
        expect(question.labels).toBe(labels.length);
        expect(read(message({ name: [...question.nameCopy()] })).question.hash).toBe(question.hash);
        expect([...encodeName(formatName(Uint8Array.from(name)))!]).toEqual(name);
      }),
    );
  });

  test("four octets are lower-cased at once as one by one (property)", () => {
    fc.assert(
      fc.property(fc.integer(), (word) => {
        const bytes = Buffer.alloc(4);
        bytes.writeInt32LE(word);
        const lower = bytes.map((octet) => (octet >= 65 && octet <= 90 ? octet + 32 : octet));
        expect(lowerWord(word) | 0).toBe(Buffer.from(lower).readInt32LE());
      }),
      { numRuns: 2000 },
    );
  });

  // dns-contract: question-parsing
  test("whatever comes is judged as a slow reader judges it, and an independent library reads the same (property)", () => {
    const valid = CASES.map(([, , bytes]) => bytes);
    const mutation = fc.record({
      at: fc.nat({ max: 80 }),
      octet: fc.integer({ min: 0, max: 255 }),
      how: fc.constantFrom("set", "insert", "remove", "cut"),
    });
    fc.assert(
      fc.property(fc.constantFrom(...valid), fc.array(mutation, { maxLength: 4 }), (bytes, mutations) => {
        const octets = [...bytes];
        for (const { at, octet, how } of mutations) {
          const place = octets.length === 0 ? 0 : at % octets.length;
          if (how === "set" && octets.length > 0) octets[place] = octet;
          else if (how === "insert") octets.splice(place, 0, octet);
          else if (how === "remove") octets.splice(place, 1);
          else if (how === "cut") octets.length = place;
        }
        const mutated = Uint8Array.from(octets);
        const { verdict, question } = read(mutated);
        expect(verdict).toBe(readSlowly(octets).verdict);
        if (verdict !== RCODE.NOERROR) return;
        // The library reads additional records as well, and throws at data that is none of a question's reader's business.
        const alone = Buffer.from(mutated);
        alone.writeUInt16BE(0, 10);
        const [asked] = decode(alone).questions!;
        expect(asked!.class).toBe("IN");
        const name = formatName(question.nameCopy());
        if (/^[a-z0-9._-]+$/.test(name)) expect(asked!.name.toLowerCase()).toBe(name);
      }),
      { numRuns: 3000 },
    );
  });
});
