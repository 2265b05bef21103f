import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Question, readQuestion } from "./question.ts";
import { isReverseName, placeOfReverse, ReversePlace, type ClusterRange } from "./reverse.ts";
import { RCODE, TYPE } from "./wire.ts";

const SUFFIX = ["in-addr", "arpa"];

/** A cluster for each kind of prefix: whole octets, and between them. */
const CLUSTERS: readonly (readonly [cidr: string, first: readonly number[], prefix: number])[] = [
  ["10.0.0.0/8", [10, 0, 0, 0], 8],
  ["172.16.0.0/12", [172, 16, 0, 0], 12],
  ["10.210.0.0/16", [10, 210, 0, 0], 16],
  ["10.210.32.0/20", [10, 210, 32, 0], 20],
  ["192.168.5.0/24", [192, 168, 5, 0], 24],
];

const numberOf = (octets: readonly number[]): number => octets.reduce((sum, octet) => sum * 256 + octet, 0);

function rangeOf([, first, prefix]: (typeof CLUSTERS)[number]): ClusterRange {
  return { first: numberOf(first), prefix };
}

/** Labels as text of their octets. */
function questionFor(labels: readonly string[]): Question {
  const name = [...labels.flatMap((label) => [label.length, ...Buffer.from(label, "latin1")]), 0];
  const message = Uint8Array.from([...[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], ...name, 0, TYPE.PTR, 0, 1]);
  const question = new Question(7);
  const verdict = readQuestion(new DataView(message.buffer), 0, message.length, question);
  expect(verdict).toBe(RCODE.NOERROR);
  return question;
}

interface Found {
  readonly octets: number;
  readonly apexOctets: number;
  readonly apexAt: number;
  readonly distance?: number;
}

/** What reverse.ts says. */
function found(labels: readonly string[], cluster: ClusterRange): Found | undefined {
  const question = questionFor(labels);
  const place = new ReversePlace();
  if (!isReverseName(question) || !placeOfReverse(question, cluster, place)) return undefined;
  const { octets, apexOctets, apexAt, distance } = place;
  return { octets, apexOctets, apexAt, ...(octets === 4 && { distance }) };
}

/** The zones that a cluster consists of, written out: all networks of whole octets, as many as its prefix needs. */
function zonesOf([, first, prefix]: (typeof CLUSTERS)[number]): readonly string[][] {
  const whole = Math.ceil(prefix / 8);
  const last = first[whole - 1] ?? 0;
  const count = 2 ** (whole * 8 - prefix);
  return Array.from({ length: count }, (_, i) => [...first.slice(0, whole - 1), last + i].map(String));
}

/** The same by comparing texts. */
function foundSlowly(labels: readonly string[], cluster: (typeof CLUSTERS)[number]): Found | undefined {
  const lower = labels.map((label) => label.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()));
  if (lower.slice(-2).join("\0") !== SUFFIX.join("\0")) return undefined;
  const spelled = lower.slice(0, -2).toReversed();
  const zone = zonesOf(cluster).find((octets) => octets.every((octet, rank) => spelled[rank] === octet));
  if (zone === undefined) return undefined;
  const areOctets =
    spelled.length <= 4 &&
    spelled.every((label) => /^[0-9]+$/.test(label) && Number(label) < 256 && `${Number(label)}` === label);
  const below = labels.slice(0, labels.length - 2 - zone.length);
  return {
    octets: areOctets ? spelled.length : 5,
    apexOctets: zone.length,
    apexAt: below.reduce((sum, label) => sum + label.length + 1, 0),
    ...(areOctets && spelled.length === 4 && { distance: numberOf(spelled.map(Number)) - numberOf(cluster[1]) }),
  };
}

const octet = fc
  .oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 255 }).map(String) },
    fc.constantFrom("0", "1", "255", "256", "999", "00", "01", "010", "1000", "", "-1", "+1", "1 ", "0x1", "1e1", "a"),
    fc.string({
      minLength: 1,
      maxLength: 4,
      unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
    }),
  )
  .filter((label) => label !== "");

/** Octets of the cluster's own first address, its last, and its neighbours on both sides; each may be another instead. */
const spelledIn = ([, first, prefix]: (typeof CLUSTERS)[number]) => {
  const size = 2 ** (32 - prefix);
  const octetsOf = (address: number) => [24, 16, 8, 0].map((shift) => String(Math.floor(address / 2 ** shift) % 256));
  const start = numberOf(first);
  const address = fc.oneof(
    fc.constantFrom(start, start + size - 1, start - 1, start + size),
    fc.integer({ min: start, max: start + size - 1 }),
  );
  return fc
    .tuple(
      address,
      fc.option(fc.tuple(fc.nat({ max: 3 }), octet)),
      fc.nat({ max: 4 }),
      fc.array(octet, { maxLength: 2 }),
    )
    .map(([number, other, shown, below]) => {
      const spelled = octetsOf(number);
      if (other !== null) spelled[other[0]] = other[1];
      return [...(shown === 4 ? below : []), ...spelled.slice(0, shown).toReversed()];
    });
};

const suffix = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(SUFFIX, ["IN-ADDR", "ARPA"], ["in-Addr", "arpa"]) },
  // The octets of in-addr.arpa, but within other labels.
  fc.constantFrom(
    ...[["x", "x\u0007in-addr\u0004arpa"], ["x\u0007in-addr", "arpa"], ["\u0007in-addr\u0004arpa"]],
    ...[["in-addr", "arpa", "jiji"], ["ip6", "arpa"], ["in-addr"], ["in-addr\u0000", "arpa"]],
  ),
);

describe.each(CLUSTERS)("%s", (...cluster) => {
  const range = rangeOf(cluster);

  // dns-contract: ptr
  test("every name is found where a slow reader finds it, or nowhere (property)", () => {
    const names = fc
      .tuple(fc.oneof({ weight: 4, arbitrary: spelledIn(cluster) }, fc.array(octet, { maxLength: 6 })), suffix)
      .map(([spelled, end]) => [...spelled, ...end]);
    fc.assert(
      fc.property(names, (labels) => {
        expect(found(labels, range)).toEqual(foundSlowly(labels, cluster));
      }),
      { numRuns: 2000 },
    );
  });

  test("its first and last address are its own, their neighbours are not", () => {
    const size = 2 ** (32 - range.prefix);
    const nameOf = (address: number) => [
      ...[0, 8, 16, 24].map((shift) => String(Math.floor(address / 2 ** shift) % 256)),
      ...SUFFIX,
    ];
    expect(found(nameOf(range.first), range)).toMatchObject({ octets: 4, distance: 0 });
    expect(found(nameOf(range.first + size - 1), range)).toMatchObject({ octets: 4, distance: size - 1 });
    expect(found(nameOf(range.first - 1), range)).toBeUndefined();
    expect(found(nameOf(range.first + size), range)).toBeUndefined();
  });

  test("each of its zones is its own, and what holds it beside others is not", () => {
    for (const zone of zonesOf(cluster)) {
      expect(found([...zone.toReversed(), ...SUFFIX], range)).toEqual({
        octets: zone.length,
        apexOctets: zone.length,
        apexAt: 0,
      });
      expect(found([...zone.slice(0, -1).toReversed(), ...SUFFIX], range)).toBeUndefined();
    }
  });
});

test("a name whose last labels only hold the octets of in-addr.arpa is nobody's of ours", () => {
  const cluster = { first: numberOf([10, 210, 0, 0]), prefix: 16 };
  expect(found(["3", "0", "210", "10", ...SUFFIX], cluster)).toMatchObject({ octets: 4, distance: 3 });
  expect(found(["3", "0", "210", "10", "x", "x\u0007in-addr\u0004arpa"], cluster)).toBeUndefined();
  expect(found(["3", "0", "210", "10", "x\u0007in-addr", "arpa"], cluster)).toBeUndefined();
});
