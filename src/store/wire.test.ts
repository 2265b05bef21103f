import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { StoreError, type SqlValue } from "./store.ts";
import { decodeRow, decodeStatement, encodeRow, encodeStatement, parseExactJson } from "./wire.ts";
import { anyText } from "../../test/any-text.ts";

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  anyText(),
  fc.uint8Array(),
);
const sql = anyText();
const name = fc.string({ minLength: 1 }).map((text) => `:${text}`);

/** As far as JSON tells values apart: -0 is 0. */
const plain = (values: readonly SqlValue[]) => values.map((each) => (Object.is(each, -0) ? 0 : each));

describe("statements", () => {
  test("have the shapes that Corrosion takes", () => {
    expect(encodeStatement({ sql: "SELECT 1" })).toBe('"SELECT 1"');
    expect(encodeStatement({ sql: "SELECT ?", params: [] })).toBe('["SELECT ?",[]]');
    expect(encodeStatement({ sql: "x", params: [null, true, 1.5, 'a"', new Uint8Array([0, 255])] })).toBe(
      '["x",[null,true,1.5,"a\\"",[0,255]]]',
    );
    expect(encodeStatement({ sql: "x", params: { ":a": 1, "@b": new Uint8Array() } })).toBe('["x",{":a":1,"@b":[]}]');
  });

  test("come out as they went in", () => {
    fc.assert(
      fc.property(sql, fc.array(value), (text, params) => {
        const decoded = decodeStatement(JSON.parse(encodeStatement({ sql: text, params })));
        expect(decoded?.sql).toBe(text);
        expect(plain(decoded?.params as SqlValue[])).toEqual(plain(params));
      }),
    );
    fc.assert(
      fc.property(sql, fc.dictionary(name, value), (text, params) => {
        const decoded = decodeStatement(JSON.parse(encodeStatement({ sql: text, params })));
        const entries = Object.entries(decoded?.params ?? {});
        expect(entries.map(([key]) => key)).toEqual(Object.keys(params));
        expect(plain(entries.map(([, each]) => each as SqlValue))).toEqual(plain(Object.values(params)));
      }),
    );
  });

  test("with a number that JSON does not have are refused, not sent as NULL", () => {
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => encodeStatement({ sql: "x", params: [number] })).toThrow(StoreError);
      expect(() => encodeStatement({ sql: "x", params: { ":a": number } })).toThrow(StoreError);
    }
  });

  test.each([
    [1],
    [null],
    [[]],
    [["x", [], 1]],
    [[1, []]],
    [["x", "y"]],
    [["x", [{}]]],
    [["x", [[256]]]],
    [["x", [[1.5]]]],
    [["x", [["a"]]]],
    [["x", { ":a": {} }]],
    [{}],
    [{ query: 1 }],
    [{ query: "x", params: {} }],
    [{ query: "x", named_params: [] }],
  ])("of another shape are none: %j", (json) => {
    expect(decodeStatement(json)).toBeUndefined();
  });

  test("in the long shape may have null for what they have not", () => {
    const statement = { sql: "x", params: [] };
    expect(decodeStatement({ query: "x", params: null, named_params: null })).toEqual(statement);
  });
});

describe("rows", () => {
  test("come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(value), (values) => {
        const stored = values.map((each) => (typeof each === "boolean" ? Number(each) : each));
        const sent = stored.map((each) => (Number.isSafeInteger(each) ? BigInt(each as number) : each));
        expect(decodeRow(parseExactJson(encodeRow(sent)))).toEqual(plain(stored));
      }),
    );
  });

  test("tell REAL from INTEGER, and have NULL for infinity", () => {
    expect(encodeRow([1, 1n, -0, 1e21, 1e-7, Number.POSITIVE_INFINITY])).toBe("[1.0,1,0.0,1e+21,1e-7,null]");
  });

  test("keep integers beyond 2^53 exact, as text", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (integer) => {
        const exact = integer >= BigInt(Number.MIN_SAFE_INTEGER) && integer <= BigInt(Number.MAX_SAFE_INTEGER);
        const row = decodeRow(parseExactJson(encodeRow([integer, `x${integer}`])));
        expect(row).toEqual([exact ? Number(integer) : integer.toString(), `x${integer}`]);
      }),
    );
  });

  test("of anything but values are none", () => {
    for (const json of [1, null, {}, [{}], [[{}]], [[-1]]]) expect(decodeRow(json)).toBeUndefined();
  });
});
