import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { failureOf } from "../../src/node/run-node.ts";
import { runStoreReader } from "../../src/node/store-reader.ts";
import type { QueryRequest } from "../../src/model/node/query.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { makeStoreFile, type MadeStoreFile } from "../store-file-maker.ts";
import { commandWorld, deployFile, type CommandResult, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;
let store: MadeStoreFile;
/** what reached the store's API, by server */
let written: string[];

beforeEach(async () => {
  world = commandWorld("web1", "home");
  world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
  expect((await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion)).code).toBe(0);
  store = makeStoreFile();
  written = [];
  for (const [name, server] of Object.entries(world.servers)) {
    server.queryLines = (request) => answer(name, request);
  }
});

afterEach(() => {
  store.remove();
  world.close();
});

function* answer(name: string, request: QueryRequest): Generator<string> {
  if (request.mode === "write") {
    written.push(`${name}: ${request.sql} ${request.params}`);
    const { changes } = store.writer.query(request.sql).run(...(JSON.parse(request.params ?? "[]") as string[]));
    yield JSON.stringify({ type: "written", rowsAffected: changes, version: 7 });
    return;
  }
  const lines: string[] = [];
  try {
    runStoreReader({ path: store.path, request }, { passOnNow: (line) => lines.push(line) });
  } catch (error) {
    lines.push(JSON.stringify(failureOf(error)));
  }
  yield* lines;
}

function query(...argv: string[]): Promise<CommandResult> {
  return world.run("network", "db", "query", ...argv);
}

describe("reading", () => {
  test("a table", async () => {
    const result = await query("SELECT n, service, NULL AS nil, x'0a' AS bytes FROM containers ORDER BY n");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchInlineSnapshot(`
      "n  service  nil   bytes
      0  api0     NULL  x'0a'
      1  api1     NULL  x'0a'
      2  api2     NULL  x'0a'
      "
    `);
    expect(result.stderr).toMatch(/^3 rows, from (web1|home)\n$/);
  });

  test("CSV, with what has to be quoted", async () => {
    const sql = `SELECT 'a,b' AS "x,y", 'say "hi"' AS q, '' AS empty, NULL AS nil, 1.5 AS n, x'00ff' AS b`;
    const result = await query(sql, "--csv");
    expect(result.stdout).toBe(`"x,y",q,empty,nil,n,b\n"a,b","say ""hi""","",,1.5,00ff\n`);
    expect(result.stderr).toBe("");
  });

  test("JSON, exact and in one value", async () => {
    const result = await query(
      "SELECT 9007199254740993 AS big, 'é\u202e' AS t, x'01' AS b",
      "--json",
      "--server",
      "web1",
    );
    expect(result.stdout).toContain("9007199254740993");
    expect(result.stdout).toContain("\\u202e");
    expect(JSON.parse(result.stdout)).toEqual({
      server: "web1",
      columns: ["big", "t", "b"],
      rows: [[Number("9007199254740993"), "é\u202e", { hex: "01" }]],
      rowCount: 1,
      ok: true,
      exitCode: 0,
    });
  });

  test("no rows are an empty answer in each form", async () => {
    const sql = "SELECT id FROM servers WHERE 0";
    expect((await query(sql)).stdout).toBe("id\n");
    expect((await query(sql, "--csv")).stdout).toBe("id\n");
    expect(JSON.parse((await query(sql, "--json")).stdout)).toMatchObject({ columns: ["id"], rows: [] });
  });

  test("values are parameters, never text", async () => {
    const sql = "SELECT n FROM containers WHERE service = :service";
    expect((await query(sql, "--params", '{"service": "api1"}', "--csv")).stdout).toBe("n\n1\n");
    const evil = JSON.stringify(["x' OR 1; DROP TABLE servers; --"]);
    expect((await query("SELECT ? AS v", "--params", evil, "--csv")).stdout).toContain("DROP TABLE servers");
    expect((await query("SELECT count(*) AS c FROM servers", "--csv")).stdout).toBe("c\n1\n");
  });

  test("texts of another server do not reach the terminal as they are", async () => {
    const result = await query("SELECT 'a' || char(27) || '[31m' || char(10) || 'b' AS t");
    expect(result.stdout).toBe("t\na\\u001b[31m\\nb\n");
  });

  test("many rows: each printed once, in their order", async () => {
    const sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT x, x AS x FROM c";
    const { stdout } = await query(sql, "--csv");
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(20_001);
    expect(lines.at(-1)).toBe("20000,20000");
    const table = (await query(sql)).stdout.trimEnd().split("\n");
    expect(table).toHaveLength(20_001);
    expect(table.at(-1)).toBe("20000  20000");
  });
});

describe("whom it asks", () => {
  test("--server, and no other", async () => {
    const result = await query("SELECT 1", "--json", "--server", "home");
    expect(JSON.parse(result.stdout)).toMatchObject({ server: "home" });
    expect(world.servers["web1"]!.log).not.toContain("query");
  });

  test("one that is not in the file: exit 2, with the nearest name", async () => {
    const result = await query("SELECT 1", "--server", "hme");
    expect(result.code).toBe(2);
    expect(result.stderr).toBe("error: no server of the file matches --server hme\nhint: did you mean home?\n");
  });

  test("the next one when a server or its store is away", async () => {
    world.servers["web1"]!.refusal = new ConnectError("unreachable", "gone", "look");
    expect(JSON.parse((await query("SELECT 1", "--json")).stdout)).toMatchObject({ server: "home" });
    world.servers["web1"]!.refusal = undefined;
    const away = {
      type: "away",
      why: "jiji-corrosion.service does not run",
      hint: "systemctl start jiji-corrosion.service",
    };
    world.servers["web1"]!.queryLines = () => [JSON.stringify(away)];
    expect(JSON.parse((await query("SELECT 1", "--json")).stdout)).toMatchObject({ server: "home" });
    const named = await query("SELECT 1", "--server", "web1");
    expect(named.code).toBe(1);
    expect(named.stderr).toBe(
      "error: web1: jiji-corrosion.service does not run\nhint: systemctl start jiji-corrosion.service\n",
    );
  });

  test("an embedded store: whoever does not hold it says who does", async () => {
    world.servers["web1"]!.queryLines = () => [JSON.stringify({ type: "elsewhere", holder: 0, name: "home" })];
    expect(JSON.parse((await query("SELECT 1", "--json")).stdout)).toMatchObject({ server: "home" });
    const named = await query("SELECT 1", "--server", "web1");
    expect(named.stderr).toContain("home holds the mesh's only one\nhint: --server home");
  });

  test("nobody: every reason", async () => {
    world.servers["web1"]!.refusal = new ConnectError("unreachable", "gone", "look");
    (world.servers["home"]!.probe.installed as Map<string, number>).clear();
    const result = await query("SELECT 1");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("no server could be asked\n  ");
    expect(result.stderr).toContain("web1: gone");
    expect(result.stderr).toContain("home: jiji is not installed there");
  });
});

describe("what cannot be asked", () => {
  test.each([
    [["SELECT 1; SELECT 2"], 2, "not one SQL statement: Multiple statements provided"],
    [[""], 2, "not one SQL statement"],
    [["SELECT ?"], 2, "the statement has parameters (?) and no values"],
    [["SELECT ?", "--params", "{"], 2, "--params is not JSON"],
    [["SELECT 1", "--json", "--csv"], 2, "give --json or --csv, not both"],
    [["SELECT 1", "--yes"], 2, "--dry-run and --yes belong to --write"],
    [["SELECT 1", "--timeout", "0"], 2, "whole seconds from 1 to 3600"],
    [["SELEC"], 1, 'the statement was refused: near "SELEC": syntax error'],
    [["SELECT * FROM nowhere"], 1, "the statement was refused: no such table: nowhere"],
    [["DELETE FROM servers"], 1, "the statement changes something, and this only reads\nhint: --write shows"],
    [["ATTACH '/etc/shadow' AS x"], 1, "ATTACH is not taken here"],
    [["PRAGMA writable_schema = 1"], 1, "only PRAGMAs that look are taken"],
  ])("%j: exit %d", async (argv, code, message) => {
    const result = await query(...argv);
    expect(result.stderr).toContain(message);
    expect(result.code).toBe(code);
    if (argv.includes("--json")) expect(JSON.parse(result.stdout)).toMatchObject({ ok: false, exitCode: code });
    else expect(result.stdout).toBe("");
  });

  test("a value that is too large to be sent: exit 1, and how to see it", async () => {
    const result = await query("SELECT zeroblob(2000000) AS b");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("row 1 is larger than 900 kB\nhint: ask for parts of the large value: substr(");
  });

  test("an answer that breaks off is an error, and JSON is JSON all the same", async () => {
    world.servers["home"]!.queryLines = function* lines() {
      yield JSON.stringify({ type: "columns", columns: ["a"] });
      yield JSON.stringify({ type: "rows", rows: [[1]] });
      yield '{"type":"rows","rows":[[2';
      yield JSON.stringify({ type: "failed", message: "the statement was stopped", hint: "a LIMIT" });
    };
    const result = await query("SELECT 1", "--server", "home", "--json");
    expect(result.code).toBe(1);
    expect(result.stderr).toBe("error: home: the statement was stopped\nhint: a LIMIT\n");
    expect(JSON.parse(result.stdout)).toEqual({
      server: "home",
      columns: ["a"],
      rows: [[1]],
      rowCount: 1,
      ok: false,
      exitCode: 1,
      error: { message: "the statement was stopped", hint: "a LIMIT", server: "home" },
    });
  });

  test("Ctrl-C: exit 130, and no more rows", async () => {
    world.servers["home"]!.queryLines = function* lines() {
      yield JSON.stringify({ type: "columns", columns: ["a"] });
      for (let n = 0; ; n++) {
        if (n === 50) world.interrupt.abort(new Error("interrupted"));
        if (n > 100) return;
        yield JSON.stringify({ type: "rows", rows: [[n]] });
      }
    };
    const result = await query("SELECT 1", "--server", "home", "--csv");
    expect(result.code).toBe(130);
    expect(result.stderr).toContain("interrupted");
  });
});

describe("--write", () => {
  const statement = ["UPDATE servers SET sig = ? WHERE id = 's1'", "--params", '["y"]', "--write", "--server", "web1"];
  const sig = (): unknown => store.writer.query("SELECT sig FROM servers").values()[0]?.[0];

  test("shows what it would change, asks, and does it through the store", async () => {
    world.answer = true;
    const result = await query(...statement);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchInlineSnapshot(`
      "~ servers  id="s1"  record="{\\"name\\":\\"web1\\",\\"subnet\\":0}"
          - sig="x"
          + sig="y"
      "
    `);
    expect(world.questions.at(-1)).toBe("Change 1 row of the store, through web1?");
    expect(result.stderr).toContain("done: the store says 1 row");
    expect(written).toEqual([`web1: UPDATE servers SET sig = ? WHERE id = 's1' ["y"]`]);
    expect(sig()).toBe("y");
  });

  test("who says no changes nothing: exit 130", async () => {
    world.answer = false;
    expect((await query(...statement)).code).toBe(130);
    expect(sig()).toBe("x");
  });

  test("without a terminal: exit 2; --dry-run needs none", async () => {
    expect((await query(...statement)).code).toBe(2);
    const dry = await query(...statement, "--dry-run");
    expect(dry.code).toBe(0);
    expect(dry.stderr).toContain("dry run: 1 row would change, and nothing was changed");
    expect(written).toEqual([]);
  });

  test("--json", async () => {
    const result = await query("DELETE FROM containers WHERE n > 0", "--write", "--yes", "--json");
    expect(JSON.parse(result.stdout)).toMatchObject({
      ok: true,
      written: true,
      rowsAffected: 2,
      version: 7,
      changeCount: 2,
      changes: [{ table: "containers", after: null }, { table: "containers" }],
    });
  });

  test("nothing to change is not asked about", async () => {
    const result = await query("DELETE FROM containers WHERE n > 90", "--write", "--dry-run");
    expect(result.stderr).toContain("the statement would change nothing");
  });

  test.each([
    ["DROP TABLE servers", "it changes more than rows"],
    ["CREATE TABLE x (a)", "it changes more than rows"],
    ["SELECT 1", "it changes no rows"],
    ["DELETE FROM servers RETURNING id", "leave RETURNING out"],
  ])("%s is refused", async (sql, message) => {
    const result = await query(sql, "--write", "--yes");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(message);
    expect(written).toEqual([]);
  });

  test("what is random is said to differ", async () => {
    const result = await query("UPDATE servers SET sig = random()", "--write", "--dry-run");
    expect(result.stderr).toContain("gives another value each time");
  });
});
