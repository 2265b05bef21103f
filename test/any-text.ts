import fc from "fast-check";

/**
 * Text of any code points but lone surrogates. fast-check's own `unit: "binary"` gives the same, and takes half a second
 * or more to be made in each process.
 */
export function anyText({ maxLength = 12 }: { readonly maxLength?: number } = {}): fc.Arbitrary<string> {
  return fc.array(codePoint, { maxLength }).map((points) => String.fromCodePoint(...points));
}

const codePoint = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 0x7f }) },
  { weight: 2, arbitrary: fc.integer({ min: 0x80, max: 0x2fff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0x3000, max: 0xd7ff }) },
  { weight: 1, arbitrary: fc.integer({ min: 0xe000, max: 0x10ffff }) },
);
