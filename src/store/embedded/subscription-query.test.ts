import { expect, test } from "bun:test";
import type { TableShape } from "./embedded-schema.ts";
import { parseSubscriptionQuery } from "./subscription-query.ts";

const shape: TableShape = { name: "t", primaryKey: ["k"], stored: ["k", "a"], others: ["a", "b"] };
const tables = new Map([["t", shape]]);

test.each([
  ["SELECT a FROM t", " a FROM t"],
  ["select/**/*from T -- LIMIT 1", "/**/*from T"],
  [
    "SELECT k, b, 'FROM x' FROM t WHERE k IN (1, 2) AND 'SELECT' < a;",
    " k, b, 'FROM x' FROM t WHERE k IN (1, 2) AND 'SELECT' < a",
  ],
])("%s", (sql, tail) => {
  expect(parseSubscriptionQuery(sql, tables)).toEqual({ table: shape, tail });
});

test.each([
  ["SELECT 1", "unsupported statement: not FROM one table"],
  ["SELECT a FROM", "unsupported statement: not FROM one table"],
  ["SELECT DISTINCT a FROM t", "unsupported statement: DISTINCT"],
  ["SELECT a FROM t GROUP BY a", "unsupported statement: GROUP"],
  ["SELECT a FROM t WHERE 1 GROUP BY a", "unsupported statement: GROUP"],
  ["SELECT a FROM t WHERE 1 LIMIT 1", "unsupported statement: LIMIT"],
  ["SELECT a, sum(b) OVER () FROM t", "unsupported statement: OVER"],
  ["SELECT a FROM t UNION SELECT a FROM u", "unsupported statement: UNION"],
  ["WITH t AS (SELECT 1) SELECT a FROM t", "unsupported statement: it is no SELECT"],
  ["SELECT a FROM t, u", "unsupported statement: not FROM one table"],
  ["SELECT a FROM t JOIN u ON 1", "unsupported statement: not FROM one table"],
  ["SELECT a FROM t x", "unsupported statement: not FROM one table"],
  ["SELECT a FROM main.t", "unsupported statement: not FROM one table"],
  ["SELECT a FROM t WHERE k IN (SELECT 1)", "unsupported statement: SELECT"],
  ["SELECT a FROM t WHERE k IN u", "unsupported statement: IN a table"],
  ["SELECT a FROM nowhere", "table not found in schema: nowhere"],
  ["SELECT k FROM t", "unsupported statement: it names no column of t but its key"],
  ["DELETE FROM t", "unsupported statement: it is no SELECT"],
  ["SELECT a FROM t; SELECT 1", "Multiple statements provided"],
  ["", "at least 1 statement is required"],
])("refuses %s", (sql, why) => {
  expect(() => parseSubscriptionQuery(sql, tables)).toThrow(why);
});
