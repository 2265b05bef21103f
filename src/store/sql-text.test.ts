import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseOneStatement, tokenizeSql } from "./sql-text.ts";
import { anyText } from "../../test/any-text.ts";

const isOne = (sql: string): boolean => {
  try {
    return parseOneStatement(sql).length > 0;
  } catch {
    return false;
  }
};
const kinds = (sql: string) => tokenizeSql(sql).map((token) => `${token.kind}:${token.text}`);

describe("tokenizeSql", () => {
  test.each([
    ["SELECT a.b, 'it''s; --' -- ; x\nFROM t", "SELECT a . b , 'it''s; --' FROM t"],
    ['"a""b;" `c``;` [d;e] x\'00\'', '"a""b;" `c``;` [d;e] x \'00\''],
    ["/* ; ' */ 1.5e3 /* no end ; ", "1 . 5e3"],
    ["? ?12 :a @b $c::d", "? ?12 :a @b $c::d"],
    ["'no end ; ", "'no end ; "],
    ["a_1$ ä😀 _x", "a_1$ ä😀 _x"],
    ["", ""],
  ])("cuts %j", (sql, expected) => {
    expect(
      tokenizeSql(sql)
        .map((token) => token.text)
        .join(" "),
    ).toBe(expected);
  });

  test("names the kinds", () => {
    expect(kinds("a \"b\" 'c' ?1 ;")).toEqual(["word:a", 'quoted:"b"', "string:'c'", "parameter:?1", "sign:;"]);
  });

  test("leaves nothing out but space and comments, for any text", () => {
    fc.assert(
      fc.property(anyText(), (sql) => {
        let at = 0;
        for (const token of tokenizeSql(sql)) {
          expect(sql.slice(token.start, token.end)).toBe(token.text);
          expect(sql.slice(at, token.start)).toMatch(/^(?:[ \t\n\f\r]|--[^\n]*(?:\n|$)|\/\*[^]*?(?:\*\/|$))*$/);
          at = token.end;
        }
      }),
    );
  });
});

describe("parseOneStatement", () => {
  test.each([
    ["SELECT 1", true],
    ["SELECT 1;", true],
    [" ;; SELECT 1", false],
    ["SELECT 1; -- done", true],
    ["SELECT ';'; ;", true],
    ["SELECT 1; SELECT 2", false],
    ["SELECT 1;x", false],
    ["", false],
    ["-- only words", false],
    ["SELECT 1\0; DELETE FROM t", false],
  ])("%j: %p", (sql, ok) => {
    expect(isOne(sql)).toBe(ok);
  });

  test("what it takes for one statement, SQLite runs to its last character", () => {
    const pieces = fc.constantFrom("1", ";", "'", '"', "`", "[", "]", "--", "\n", "/*", "*/", " ", "+", "x", ",", "''");
    const database = new Database(":memory:");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const sql = `SELECT 1 ${parts.join("")}`;
        // An addition of what cannot be prepared: SQLite sees it exactly when it reads that far.
        const seen = (text: string): boolean => {
          try {
            database.prepare(text).finalize();
            return false;
          } catch {
            return true;
          }
        };
        if (seen(sql) || !isOne(sql)) return;
        const tokens = tokenizeSql(sql).filter((token) => token.text !== ";");
        const last = tokens.at(-1);
        expect(seen(`${sql.slice(0, last?.end)} ) `)).toBe(true);
        expect(isOne(`${sql.slice(0, last?.end)};SELECT`)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});
