import { expect, test } from "bun:test";
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
