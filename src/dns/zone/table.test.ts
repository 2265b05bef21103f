import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Question, readQuestion } from "../wire/question.ts";
import { encodeName } from "../wire/wire.ts";
import { encode } from "dns-packet";
import { allocateTable, RECORD, TableReader } from "./table.ts";
import { TableWriter } from "./table-writer.ts";

const SEED = 3;

function questionOf(name: string): Question {
  const message = encode({ type: "query", id: 1, flags: 0, questions: [{ type: "A", name }] });
  const bytes = new Uint8Array(1024);
  bytes.set(message);
  const question = new Question(SEED);
  readQuestion(new DataView(bytes.buffer), 0, message.length, question);
  return question;
}

/** A reader in whose every look at an empty slot another thread's change falls right behind it. */
class InterruptedReader extends TableReader {
  constructor(buffer: SharedArrayBuffer, onEmpty: (slot: number) => void) {
    super(buffer);
    const { words } = this;
    const watched = new Proxy(words, {
      get(_target, place) {
        const at = Number(place);
        const value = words[at] as number;
        if (value === 0 && at > 64 && at % 2 === 1) onEmpty((at - 65) / 2);
        return value;
      },
    });
    Object.defineProperty(this, "words", { value: watched });
  }
}

test("a name that takes an empty slot while another one is looked for there is not the answer", () => {
  const buffer = allocateTable({
    names: 20,
    arenaBytes: 64 * 1024,
    ttlSeconds: 60,
    negativeTtlSeconds: 5,
    reverseAddresses: 0,
  });
  const writer = new TableWriter(buffer, SEED);
  const wanted = questionOf("missing.jiji");
  const slots = (buffer.byteLength - 64 * 1024 - 256) / 8;
  const same = Array.from({ length: 10_000 }, (_, n) => `n${n}.jiji`).find(
    (name) => ((questionOf(name).hash ^ wanted.hash) & (slots - 1)) === 0,
  );
  let put = 0;
  const reader = new InterruptedReader(buffer, () => {
    if (put++ === 0) writer.put(encodeName(same ?? "")!, RECORD.NAME, [0x0ad20002], 0);
  });
  expect(reader.find(wanted)).toBe(0);
  expect(put).toBe(1);
  expect(reader.find(questionOf(same ?? ""))).toBeGreaterThan(0);
});

/** A reader that notes which words it looks at. */
class WatchedReader extends TableReader {
  readonly read: number[] = [];

  constructor(buffer: SharedArrayBuffer) {
    super(buffer);
    const { words, read } = this;
    const watched = new Proxy(words, {
      get(_target, place) {
        read.push(Number(place));
        return words[Number(place)];
      },
    });
    Object.defineProperty(this, "words", { value: watched });
  }
}

describe("having a batch's names near", () => {
  const HEADER_WORDS = 64;
  const names = Array.from({ length: 400 }, (_, n) => `n${n}.jiji`);

  /** A table with as many of the names as it takes, and how many these are. */
  function filled(most: number): { readonly buffer: SharedArrayBuffer; readonly put: number } {
    const shape = { names: 20, arenaBytes: 64 * 1024, ttlSeconds: 60, negativeTtlSeconds: 5, reverseAddresses: 16 };
    const buffer = allocateTable(shape);
    const writer = new TableWriter(buffer, SEED);
    let put = 0;
    while (put < most && writer.put(encodeName(names[put]!)!, RECORD.NAME, [0x0ad20002 + put], 0)) put++;
    return { buffer, put };
  }

  const hash = fc.oneof(fc.constantFrom(0, -1, 1, 2 ** 31 - 1, -(2 ** 31)), fc.integer());
  const tables = { empty: filled(0), "half full": filled(20), full: filled(names.length) };

  test("the full table is full", () => {
    expect(tables.full.put).toBeGreaterThan(20);
    expect(tables.full.put).toBeLessThan(names.length);
  });

  test.each(Object.keys(tables) as (keyof typeof tables)[])(
    "whatever the hashes, only words of the %s table are read, those of their slots among them, and none is changed (property)",
    (kind) => {
      const { buffer, put } = tables[kind];
      const before = Buffer.from(new Uint8Array(buffer)).toString("latin1");
      const reader = new WatchedReader(buffer);
      const words = new Int32Array(buffer);
      const slotMask = words[0]!;
      fc.assert(
        fc.property(fc.array(hash, { maxLength: 64 }), fc.nat({ max: 64 }), (hashes, most) => {
          const questions = hashes.map((one) => Object.assign(new Question(SEED), { hash: one }));
          const count = Math.min(most, hashes.length);
          reader.read.length = 0;
          reader.warm(questions, count);
          expect(reader.read.every((at) => at >= 0 && at < words.length)).toBe(true);
          for (const one of hashes.slice(0, count)) {
            const slot = HEADER_WORDS + (one & slotMask) * 2 + 1;
            expect(reader.read).toContain(slot);
            expect(reader.read).toContain(words[slot]! >> 2);
          }
        }),
      );
      expect(Buffer.from(new Uint8Array(buffer)).toString("latin1")).toBe(before);
      const plain = new TableReader(buffer);
      for (const [n, name] of names.entries()) {
        const question = questionOf(name);
        plain.warm([question], 1);
        expect(plain.find(question) > 0).toBe(n < put);
      }
    },
  );
});
