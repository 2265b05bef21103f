import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeHost } from "../../test/fake-host.ts";
import { callNode } from "../../test/node-call.ts";
import { MemoryStore } from "../../test/memory-store.ts";
import { sampleRecord, sampleSpec } from "../../test/sample-spec.ts";
import { encodeMembersFile } from "../model/members-file.ts";
import { encodeNodeSpecFile, type NodeSpec } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import type { PipedEnd, StartPiped } from "../system/piped-program.ts";
import type { Handler } from "./call.ts";
import { confinedReader, runNodeQuery, type QueryPorts } from "./query.ts";

let started: { argv: readonly string[]; input: string }[];
let killed: number;
let store: MemoryStore;

beforeEach(() => {
  started = [];
  killed = 0;
  store = new MemoryStore();
});
afterEach(() => store.close());

/** A reader that says these lines and ends so; with `undefined` it never ends by itself. */
function reader(lines: readonly string[], end: Partial<PipedEnd> | undefined): StartPiped {
  return (argv, input) => {
    started.push({ argv, input });
    const exited = Promise.withResolvers<PipedEnd>();
    const dead = Promise.withResolvers<void>();
    if (end !== undefined) exited.resolve({ code: 0, signal: null, stderr: "", ...end });
    return {
      lines: (async function* say() {
        yield* lines;
        if (end === undefined) await dead.promise;
      })(),
      exited: exited.promise,
      kill: () => {
        killed++;
        dead.resolve();
        exited.resolve({ code: null, signal: "SIGKILL", stderr: "" });
      },
    };
  };
}

function server(spec: NodeSpec = sampleSpec()): FakeHost {
  return new FakeHost({
    files: {
      [PATHS.spec]: encodeNodeSpecFile(spec),
      [PATHS.members]: encodeMembersFile({ version: 1, members: [sampleRecord("web2", 1)], removed: [] }),
      [PATHS.corrosionDatabase]: "",
      [`${PATHS.corrosionDatabase}-wal`]: "",
    },
  });
}

async function ask(
  request: object,
  host: FakeHost,
  startPiped: StartPiped,
  closed: Promise<void> = new Promise(() => {}),
): Promise<{ code: number; said: readonly unknown[] }> {
  const ports: QueryPorts = {
    startPiped,
    reader: ["/opt/jiji/bin/jiji", "node", "store-reader"],
    openStore: async () => store,
    askHealth: async () => ({ gaps: 0, members: 1, lagSeconds: null }),
  };
  const handler: Handler<"query"> = (checked, call) => runNodeQuery(checked, call, ports);
  const { code, lines } = await callNode("query", request, handler, { host, closed });
  return { code, said: lines };
}

const READ = { mode: "read", sql: "SELECT 1", params: null, seconds: 60 };
const END = { type: "end", rows: 0 };

// security-tests: sql-without-rights
test("the reader has no rights but to read that one file", async () => {
  const { code, said } = await ask(READ, server(), reader([JSON.stringify(END)], {}));
  expect({ code, said }).toEqual({ code: 0, said: [END] });
  const [{ argv, input } = { argv: [], input: "" }] = started;
  expect(argv.join(" ")).toBe(
    "setpriv --reuid=nobody --regid=jiji-corrosion --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all " +
      "--pdeathsig=KILL prlimit --data=536870912 --fsize=0 --core=0 --nofile=64 --cpu=60:61 " +
      "/opt/jiji/bin/jiji node store-reader",
  );
  expect(JSON.parse(input)).toEqual({ path: PATHS.corrosionDatabase, request: READ });
  expect(argv.join(" ")).not.toContain("SELECT");
});

// security-tests: sql-without-rights
test("the statement never becomes part of the command line", () => {
  expect(confinedReader(["jiji"], 5)).not.toContain("sql");
});

test("a store that was stopped in good order is away, and no reader is started", async () => {
  const host = server();
  host.entries.delete(`${PATHS.corrosionDatabase}-wal`);
  const { said } = await ask(READ, host, reader([], {}));
  expect(said).toEqual([
    {
      type: "away",
      why: "jiji-corrosion.service does not run: it was stopped in good order, and its file cannot be read beside it then",
      hint: "systemctl start jiji-corrosion.service",
    },
  ]);
  expect(started).toEqual([]);
});

test("no file yet, no setup", async () => {
  const host = server();
  host.entries.delete(PATHS.corrosionDatabase);
  expect((await ask(READ, host, reader([], {}))).said[0]).toMatchObject({ type: "away" });
  const bare = await ask(READ, new FakeHost(), reader([], {}));
  expect(bare).toMatchObject({ code: 1, said: [{ type: "failed", message: "it is not set up" }] });
});

test("a file that the reader cannot open is away, with what to do", async () => {
  const line = JSON.stringify({ type: "away", why: "attempt to write a readonly database", hint: "" });
  const { said } = await ask(READ, server(), reader([line], {}));
  expect(said).toEqual([
    {
      type: "away",
      why: "the store's file cannot be read; perhaps it does not run (attempt to write a readonly database)",
      hint: "systemctl start jiji-corrosion.service",
    },
  ]);
});

test("an embedded store is read on its holder; the others say who that is", async () => {
  const spec: NodeSpec = { ...sampleSpec(), store: { kind: "embedded", holder: 1 as NodeSpec["subnet"] } };
  const { said } = await ask(READ, server(spec), reader([], {}));
  expect(said).toEqual([{ type: "elsewhere", holder: 1, name: "web2" }]);
  const holder = server({ ...spec, store: { kind: "embedded", holder: spec.subnet } });
  holder.put(PATHS.embeddedStoreDatabase, "");
  holder.put(`${PATHS.embeddedStoreDatabase}-wal`, "");
  expect((await ask(READ, holder, reader([JSON.stringify(END)], {}))).said).toEqual([END]);
  expect(started[0]?.input).toContain(PATHS.embeddedStoreDatabase);
});

test.each<[string, readonly string[], Partial<PipedEnd>, string]>([
  ["out of processor time", [], { code: null, signal: "SIGXCPU" }, "stopped after 60 s of processor time"],
  [
    "the same, half a line later",
    ['{"type":"rows","rows":[[1'],
    { code: null, signal: "SIGKILL" },
    "stopped after 60 s",
  ],
  ["out of memory", [], { code: null, signal: "SIGABRT" }, "ended with SIGABRT"],
  ["no setpriv", [], { code: 127, stderr: "setpriv: not found" }, "could not be run: setpriv: not found"],
  ["a silent end", [], { code: 0 }, "ended with exit 0"],
])("%s is said", async (_what, lines, end, message) => {
  const { code, said } = await ask(READ, server(), reader(lines, end));
  expect(code).toBe(1);
  expect(said).toHaveLength(1);
  expect(said[0]).toMatchObject({ type: "failed", message: expect.stringContaining(message) });
});

test("it ends when nobody waits any more", async () => {
  const closed = Promise.withResolvers<void>();
  const asked = ask(
    READ,
    server(),
    reader([JSON.stringify({ type: "columns", columns: ["x"] })], undefined),
    closed.promise,
  );
  closed.resolve();
  const { code, said } = await asked;
  expect(killed).toBeGreaterThan(0);
  expect(code).toBe(1);
  expect(said.at(-1)).toMatchObject({ type: "failed", message: "nobody waits for the answer any more" });
});

test("a write goes through the store, with its values beside it", async () => {
  const params = '["s1", 9007199254740993]';
  const sql = "INSERT INTO servers (id, sig) VALUES (?, ?)";
  const { code, said } = await ask({ mode: "write", sql, params }, server(), reader([], {}));
  expect({ code, said }).toEqual({ code: 0, said: [{ type: "written", rowsAffected: 1, version: 1 }] });
  expect(store.rows("SELECT id, sig FROM servers")).toEqual([["s1", "9007199254740993"]]);
  store.setAway(true);
  expect(await ask({ mode: "write", sql, params }, server(), reader([], {}))).toMatchObject({
    code: 1,
    said: [{ type: "failed", message: "connection refused", hint: "jiji network status shows whether the store runs" }],
  });
});
