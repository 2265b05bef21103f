import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseQuery } from "./query-parameters.ts";

function params(sql: string, json?: string): unknown {
  const parsed = parseQuery(sql, json);
  return parsed.ok ? parsed.statement.params : parsed.why;
}

describe("values", () => {
  test.each([
    ["SELECT 1", undefined, []],
    ["SELECT ?, ?", '["a", 1]', ["a", 1]],
    ["SELECT ?", "[9007199254740993]", [9_007_199_254_740_993n]],
    ["SELECT ?", "[[0, 255]]", [new Uint8Array([0, 255])]],
    ["SELECT ?", "[null, true, 1.5]", [null, true, 1.5]],
  ])("%s with %s", (sql, json, expected) => expect(params(sql, json)).toEqual(expected));

  test("names may be written with or without their sign", () => {
    expect(params("SELECT :a, @b, $c", '{"a": 1, "@b": 2, "c": 3}')).toEqual({ ":a": 1, "@b": 2, $c: 3 });
    expect(params("SELECT ':no', :__proto__", '{"__proto__": 1}')).toHaveProperty(":__proto__", 1);
  });
});

test.each([
  ["SELECT ?", undefined, "the statement has parameters (?) and no values"],
  ["SELECT :a", "{}", "--params has no value for :a"],
  ["SELECT :a", '{"a": 1, "b": 2}', "--params names b, which the statement does not have"],
  ["SELECT :a, @a", '{"a": 1}', "--params names a, which may be :a or @a"],
  ["SELECT ?", "{", "--params is not JSON"],
  ["SELECT ?", "5", "--params is neither a list nor an object"],
  ["SELECT ?", "null", "--params is neither a list nor an object"],
  ["SELECT ?", '[{"a": 1}]', "--params has a value that SQL does not know"],
  ["SELECT ?", "[[256]]", "--params has a value that SQL does not know"],
  ["SELECT 1; SELECT 2", undefined, "not one SQL statement: Multiple statements provided"],
  [" ", undefined, "not one SQL statement: at least 1 statement is required"],
])("%j with %j is refused: %s", (sql, json, why) => expect(params(sql, json)).toBe(why));

test("no text of either makes it throw", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.oneof(fc.string({ maxLength: 40 }), fc.json()), (sql, json) => {
      const parsed = parseQuery(sql, json);
      if (parsed.ok) expect(parsed.statement.sql).toBe(sql);
    }),
  );
});
