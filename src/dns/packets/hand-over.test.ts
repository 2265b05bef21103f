import { expect, test } from "bun:test";
import fc from "fast-check";
import { HAND_OVER_WORDS, HandOver } from "./hand-over.ts";

function ends(bytes: number): { writer: HandOver; reader: HandOver } {
  const control = new Int32Array(new SharedArrayBuffer(HAND_OVER_WORDS * 4));
  const ring = new SharedArrayBuffer(bytes);
  return { writer: new HandOver(control, ring), reader: new HandOver(control, ring) };
}

test("what goes in comes out, whole and in order; what has no room is refused, and nothing else (property)", () => {
  const step = fc.record({ length: fc.integer({ min: 1, max: 90 }), reads: fc.integer({ min: 0, max: 3 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { writer, reader } = ends(512);
      const waiting: { packet: number[]; address: number; port: number }[] = [];
      let next = 0;
      for (const { length, reads } of steps) {
        const packet = Array.from({ length }, () => next++ & 255);
        const entry = { packet, address: (next * 2_654_435_761) >>> 0, port: next & 0xffff };
        const view = new DataView(Uint8Array.from([9, 9, ...packet, 9]).buffer);
        const isTaken = writer.write(view, 2, length, entry.address, entry.port);
        if (isTaken) waiting.push(entry);
        // An empty ring takes everything that is not half its size.
        else expect(waiting.length).toBeGreaterThan(0);
        const before = waiting.length;
        const seen: typeof waiting = [];
        const hasMore = reader.read(reads, (bytes, address, port) => seen.push({ packet: [...bytes], address, port }));
        expect(seen).toEqual(waiting.splice(0, Math.min(reads, before)));
        expect(hasMore).toBe(waiting.length > 0);
      }
    }),
    { numRuns: 300 },
  );
});
