import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LineTooLong, splitLines } from "./line-split.ts";
import { anyText } from "../../test/any-text.ts";

async function* pieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const at = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  for (const [index, start] of at.entries()) yield bytes.subarray(start, at[index + 1] ?? bytes.length);
}

async function linesOf(bytes: Uint8Array, cuts: readonly number[], maxLineBytes?: number): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const line of splitLines(pieces(bytes, cuts), maxLineBytes)) lines.push(line);
  return lines;
}

const cuts = fc.array(fc.nat(), { maxLength: 20 });

describe("splitLines", () => {
  test("gives the same lines however the bytes are cut", async () => {
    const line = anyText({ maxLength: 40 }).filter((text) => !/[\n\r]/.test(text));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 30 }), fc.boolean(), cuts, async (lines, ended, at) => {
        const text = lines.join("\n") + (ended && lines.length > 0 ? "\n" : "");
        const expected = ended || lines.at(-1) !== "" ? lines : lines.slice(0, -1);
        expect(await linesOf(Buffer.from(text, "utf8"), at)).toEqual(expected);
      }),
    );
  });

  test("takes any bytes", async () => {
    const bytes = fc.uint8Array({ maxLength: 500, size: "max" });
    await fc.assert(
      fc.asyncProperty(bytes, cuts, async (content, at) => {
        const whole = Buffer.from(content).toString("latin1").split("\n");
        const expected = whole.at(-1) === "" ? whole.slice(0, -1) : whole;
        const decoded = expected.map((line) => Buffer.from(line.replace(/\r$/, ""), "latin1").toString("utf8"));
        expect(await linesOf(content, at)).toEqual(decoded);
      }),
    );
  });

  test("ends at a line that is too long, wherever it is cut, and not one byte earlier", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 60 }), cuts, async (length, at) => {
        const bytes = Buffer.from(`ok\n${"x".repeat(length)}\nrest\n`);
        const reading = linesOf(bytes, at, 30);
        if (length <= 30) expect(await reading).toEqual(["ok", "x".repeat(length), "rest"]);
        else await expect(reading).rejects.toBeInstanceOf(LineTooLong);
      }),
    );
  });
});
