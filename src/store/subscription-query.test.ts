import { describe, expect, test } from "bun:test";
import { parseSubscriptionQuery } from "./subscription-query.ts";

const tables = (sql: string) => {
  const parsed = parseSubscriptionQuery(sql);
  if (!parsed.ok) return parsed.why;
  return parsed.query.sources.map(({ table, reference }) => (table === reference ? table : `${table}=${reference}`));
};

describe("parseSubscriptionQuery", () => {
  test.each([
    ["SELECT a FROM t", ["t"]],
    ["select all * from t where x = (select 1);", ["t"]],
    ["SELECT a FROM t AS x, u y", ["t=x", "u=y"]],
    ["SELECT a FROM t JOIN u ON t.a = u.a LEFT OUTER JOIN v AS w USING (a, b) ORDER BY a", ["t", "u", "v=w"]],
    ["SELECT a FROM t x INNER JOIN u CROSS JOIN v", ["t=x", "u", "v"]],
    ['SELECT a FROM "my ""t" [x y], `u`', ['my "t=[x y]', "u=`u`"]],
    ["SELECT a FROM t INDEXED BY i WHERE 1", ["t"]],
    ["SELECT (SELECT max(b) FROM u), 'FROM x' FROM t", ["t"]],
    ["SELECT a IS NOT DISTINCT FROM b FROM t", ["t"]],
    ["SELECT a FROM t -- LIMIT 1", ["t"]],
    ["SELECT 1", "at least 1 table is required in FROM / JOIN clause"],
    ["SELECT DISTINCT a FROM t", "unsupported statement: DISTINCT"],
    ["SELECT a FROM t GROUP BY a", "unsupported statement: GROUP"],
    ["SELECT a FROM t LIMIT 1", "unsupported statement: LIMIT"],
    ["SELECT a FROM t UNION SELECT a FROM u", "unsupported statement: UNION"],
    ["WITH t AS (SELECT 1) SELECT a FROM t", "unsupported statement"],
    ["SELECT a FROM t NATURAL JOIN u", "unsupported statement: NATURAL JOIN"],
    ["SELECT a FROM t FULL JOIN u ON 1", "unsupported statement: FULL JOIN"],
    ["SELECT a FROM (SELECT 1 AS a)", "unsupported statement: FROM needs tables"],
    ["SELECT a FROM json_each('[]')", "unsupported statement: FROM needs tables of the schema"],
    ["SELECT a FROM main.t", "unsupported statement: FROM needs tables of the schema"],
    ["SELECT a FROM t AS", "unsupported statement: AS needs a name"],
    ["SELECT a FROM", "unsupported statement: FROM needs tables"],
    ["DELETE FROM t", "unsupported statement"],
    ["SELECT a FROM t; SELECT 1", "Multiple statements provided"],
    ["", "at least 1 statement is required"],
  ])("%s", (sql, expected) => {
    expect(tables(sql)).toEqual(expected as never);
  });

  test("cuts the text where hidden columns go", () => {
    const parsed = parseSubscriptionQuery("SELECT/**/ALL*FROM t ;");
    expect(parsed.ok && [parsed.query.head, parsed.query.tail]).toEqual(["SELECT/**/ALL", "*FROM t"]);
  });

  test("knows a statement that looks into other rows, and the names it has", () => {
    const nested = (sql: string) => {
      const parsed = parseSubscriptionQuery(sql);
      return parsed.ok && parsed.query.nested;
    };
    expect(nested("SELECT a FROM t WHERE a IN (SELECT b FROM t)")).toBe(true);
    expect(nested("SELECT a, 'SELECT' FROM t")).toBe(false);
    const parsed = parseSubscriptionQuery('SELECT "A b", C FROM t');
    expect(parsed.ok && [...parsed.query.names]).toContainValues(["a b", "c", "t"]);
  });
});
