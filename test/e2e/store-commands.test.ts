import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { jijiExecutable, runJiji } from "../../lab/jiji.ts";
import { startMesh } from "../../lab/mesh.ts";
import { waitFor } from "../../lab/wait.ts";
import { sampleRecord } from "../sample-spec.ts";
import { RegistryWorld } from "./registry-world.ts";

/** `network gc`, `db stats` and `db query` on real servers, with real Corrosion, as an operator runs them. */
let world: RegistryWorld;

beforeAll(async () => {
  const mesh = await startMesh({
    servers: [
      { name: "web1", release: "trixie", engine: "docker" },
      { name: "home", release: "trixie", engine: "podman" },
    ],
  });
  world = new RegistryWorld(mesh);
  await world.whenWell(60_000);
}, 900_000);

afterAll(async () => {
  await world?.mesh.lab.down();
});

interface Shown {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function jiji(...argv: string[]): Promise<Shown> {
  return runJiji(world.mesh.lab, ["network", ...argv], { timeoutMs: 60_000 });
}

async function query(sql: string, ...more: string[]): Promise<unknown[][]> {
  const result = await jiji("db", "query", sql, "--json", ...more);
  expect(result.stderr).toBe("");
  return (JSON.parse(result.stdout) as { rows: unknown[][] }).rows;
}

/** Processes that run on a server under that user, by name. */
async function processesOf(server: string, user: string): Promise<string> {
  const result = await world.mesh.lab.exec(server, ["ps", "-o", "args=", "-u", user]);
  return result.stdout;
}

const ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)";
const SOON = { timeoutMs: 45_000, intervalMs: 200 };

function until(what: string, look: () => Promise<boolean>): Promise<unknown> {
  return waitFor(look, { ...SOON, what });
}

describe("db query", () => {
  test("each server's store, and the same on both", async () => {
    const rows = [
      ["home", 1],
      ["web1", 0],
    ];
    const sql = "SELECT name, subnet FROM servers ORDER BY name";
    const [web1, home] = await Promise.all([query(sql, "--server", "web1"), query(sql, "--server", "home")]);
    expect(new Set(web1.map(([name]) => name))).toEqual(new Set(rows.map(([name]) => name)));
    expect(home).toEqual(web1);
  });

  test("the reader is nobody, in the store's group alone, and can write and open nothing else", async () => {
    const asking = jiji("db", "query", `${ENDLESS} SELECT count(*) FROM c`, "--server", "web1", "--timeout", "2");
    let status = "";
    await until("the reader to run confined", async () => {
      const pids = (await world.mesh.lab.exec("web1", ["pgrep", "-u", "nobody", "-f", "store-reader"])).stdout;
      const pid = pids.trim().split("\n")[0] ?? "";
      if (pid === "") return false;
      status = (await world.mesh.lab.exec("web1", ["cat", `/proc/${pid}/status`, `/proc/${pid}/limits`])).stdout;
      return status.includes("Max data size");
    });
    const group = (await world.run("web1", ["getent", "group", "jiji-corrosion"])).split(":")[2];
    const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1] ?? "?";
    expect(field("Uid")).toBe("65534\t65534\t65534\t65534");
    expect(field("Gid")).toBe(`${group}\t${group}\t${group}\t${group}`);
    expect(field("Groups")).toBe("");
    expect([field("CapPrm"), field("CapEff"), field("CapBnd")]).toEqual(Array(3).fill("0".repeat(16)));
    expect(field("NoNewPrivs")).toBe("1");
    expect(status).toMatch(/Max file size +0 +0/);
    expect(status).toMatch(/Max cpu time +2 +3/);
    const result = await asking;
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("web1: the statement was stopped after 2 s of processor time\nhint: --timeout");
    expect(await processesOf("web1", "nobody")).not.toContain("store-reader");
  }, 60_000);

  test.each([
    ["ATTACH '/opt/jiji/corrosion/token' AS t", "ATTACH is not taken here"],
    ["PRAGMA journal_mode = DELETE", "only PRAGMAs that look"],
    ["PRAGMA writable_schema = 1", "only PRAGMAs that look"],
    ["VACUUM INTO '/tmp/copy.db'", "the statement changes something"],
    ["SELECT load_extension('/tmp/x')", "does more than read"],
    ["SELECT hex(randomblob(400000000))", "more memory than it may have"],
  ])("%s", async (sql, message) => {
    const result = await jiji("db", "query", sql, "--server", "home");
    expect(result.stderr).toContain(message);
    expect(result.code).toBe(1);
  });

  test("sorting more than fits is an error, and the server goes on", async () => {
    const sql = `${ENDLESS} SELECT x, hex(randomblob(500)) AS r FROM c LIMIT 3000000`;
    const result = await jiji("db", "query", `SELECT * FROM (${sql}) ORDER BY r`, "--server", "home", "--timeout", "5");
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/memory|processor time/);
    expect(await query("SELECT 1")).toEqual([[1]]);
  }, 120_000);

  test("a long answer streams, in little memory on both sides", async () => {
    const started = performance.now();
    const result = await jiji("db", "query", `${ENDLESS} SELECT x, 'row ' || x FROM c LIMIT 300000`, "--csv");
    expect(result.code).toBe(0);
    expect(result.stdout.split("\n")).toHaveLength(300_002);
    console.log(`300,000 rows as CSV in ${Math.round(performance.now() - started)} ms`);
  }, 60_000);

  test("Ctrl-C ends it here and there", async () => {
    const { lab } = world.mesh;
    const argv = [jijiExecutable(), "network", "db", "query", `${ENDLESS} SELECT count(*) FROM c`, "--server", "home"];
    const running = lab.operatorSpawn(argv, { cwd: lab.operator.home });
    await until("the reader to run", async () => (await processesOf("home", "nobody")).includes("store-reader"));
    running.kill("SIGINT");
    expect(await running.exited).toBe(130);
    await until("the reader to end", async () => !(await processesOf("home", "nobody")).includes("store-reader"));
    await until("its parent to end", async () => !(await processesOf("home", "root")).includes("node query"));
  }, 90_000);

  test("a stopped Corrosion is said, and another server answers", async () => {
    await world.run("home", ["systemctl", "stop", "jiji-corrosion"]);
    const result = await jiji("db", "query", "SELECT 1", "--server", "home");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("home: jiji-corrosion.service does not run: it was stopped in good order");
    expect(result.stderr).toContain("hint: systemctl start jiji-corrosion.service");
    expect(await query("SELECT 1")).toEqual([[1]]);
    await world.run("home", ["systemctl", "start", "jiji-corrosion"]);
    await until(
      "home's store to answer",
      async () => (await jiji("db", "query", "SELECT 1", "--server", "home")).code === 0,
    );
  }, 90_000);

  test("--write is rehearsed, then done, and replicates", async () => {
    const argv = ["INSERT INTO removed_servers (id, record) VALUES (?, ?)", "--params", '["made-up", "{}"]', "--write"];
    const dry = await jiji("db", "query", ...argv, "--dry-run", "--server", "web1");
    expect(dry.stdout).toBe('+ removed_servers  id="made-up"  record="{}"\n');
    expect(await query("SELECT count(*) FROM removed_servers", "--server", "web1")).toEqual([[0]]);
    expect((await jiji("db", "query", ...argv, "--yes", "--server", "web1")).code).toBe(0);
    const there = async (): Promise<boolean> =>
      (await query("SELECT id FROM removed_servers", "--server", "home")).flat().includes("made-up");
    await until("the row to reach home", there);
    const schema = await jiji("db", "query", "ALTER TABLE servers ADD COLUMN x", "--write", "--yes");
    expect(schema.stderr).toContain("it changes more than rows");
    await jiji("db", "query", "DELETE FROM removed_servers", "--write", "--yes");
  }, 60_000);
});

describe("db stats", () => {
  test("both stores, and that they agree", async () => {
    await until("the stores to agree", async () => (await jiji("db", "stats")).code === 0);
    const { stdout } = await jiji("db", "stats", "-v");
    console.log(stdout);
    expect(stdout).toMatch(/web1 +corrosion/);
    expect(stdout).toMatch(/home +corrosion/);
    expect(stdout).toContain("2 of 2");
    expect(stdout).toMatch(/1 alive/);
  }, 60_000);

  test("a difference that lasts is pointed out, and gone when the stores can talk again", async () => {
    const rule = ["INPUT", "-i", "jiji0", "-p", "udp", "-j", "DROP"];
    await world.run("home", ["iptables", "-w", "-I", ...rule]);
    try {
      await world.transact("web1", [["INSERT INTO removed_servers (id) VALUES ('only-here')", []]]);
      const result = await jiji("db", "stats");
      expect(result.stdout).toMatch(/≠ (home|web1) has [01] removed servers, (home|web1) has [01]/);
      expect(result.code).toBe(5);
    } finally {
      await world.run("home", ["iptables", "-w", "-D", ...rule]);
    }
    await world.transact("web1", [["DELETE FROM removed_servers", []]]);
    await until("the stores to agree again", async () => (await jiji("db", "stats")).code === 0);
  }, 90_000);
});

describe("gc", () => {
  const old = sampleRecord("old1", 9);

  test("a clean mesh has nothing stale", async () => {
    const result = await jiji("gc");
    expect(result).toMatchObject({ code: 0, stdout: "nothing is stale\n" });
  });

  test("a row of a living server whose agent is down is its agent's; it goes when the agent looks", async () => {
    const self = (await query("SELECT id FROM servers WHERE name = 'web1'"))[0]?.[0];
    await world.run("web1", ["systemctl", "stop", "jiji-agent"]);
    const record = {
      ...{ containerId: "d".repeat(64), project: "shop", service: "api", instance: null, address: null },
      ...{ state: "healthy", ports: [], meta: {}, rev: 1 },
    };
    await world.transact("web1", [
      ["INSERT INTO containers (server_id, n, record) VALUES (?, 77, ?)", [self, JSON.stringify(record)]],
    ]);
    const dry = await jiji("gc");
    expect(dry.stdout).toMatch(/containers 77 +web1 +shop \/ api +dddddddddddd +its server has no such container/);
    const down = await jiji("gc", "--force", "--yes");
    expect(down.code).toBe(4);
    expect(down.stderr).toContain("error: web1: its agent did not look");
    await world.run("web1", ["systemctl", "start", "jiji-agent"]);
    await until("the row to go", async () => (await jiji("gc")).stdout === "nothing is stale\n");
  }, 90_000);

  test("a removed server's rows go, its number is free on every server, and it stays removed", async () => {
    await world.transact("home", [
      ["INSERT INTO servers (id, record, sig) VALUES (?, ?, ?)", [old.id, old.record, old.sig]],
      ["INSERT INTO containers (server_id, n, record) VALUES (?, 0, ''), (?, 1, '')", [old.id, old.id]],
      ["INSERT INTO removed_servers (id, record) VALUES (?, ?)", [old.id, '{"name":"old1","subnet":9}']],
    ]);
    // As an operator's command leaves it, on one server only: the other one slept.
    await edit("web1", (file) => ({ ...file, removed: [{ id: old.id, name: "old1", subnet: 9 }] }));
    const rowsOn = async (server: string): Promise<unknown> => {
      const sql =
        "SELECT (SELECT count(*) FROM containers WHERE server_id = :id) + (SELECT count(*) FROM servers WHERE id = :id)";
      return (await query(sql, "--server", server, "--params", JSON.stringify({ id: old.id })))[0]?.[0];
    };
    await until("the rows to reach web1", async () => (await rowsOn("web1")) === 3);
    const dry = await jiji("gc");
    expect(dry.stdout).toMatch(/servers +old1 +old1 +- +its server was removed +delete/);
    expect(dry.stderr).toContain("dry run");
    const forced = await jiji("gc", "--force", "--yes");
    expect(forced.stderr).toContain("deleted 3 rows of removed servers; free again: number 9");
    expect(forced.code).toBe(0);
    for (const server of ["web1", "home"]) {
      await until(`the rows to be gone on ${server}`, async () => (await rowsOn(server)) === 0);
      const file = JSON.parse(await world.run(server, ["cat", "/opt/jiji/members.json"])) as { removed: unknown };
      expect(file.removed).toEqual([{ id: old.id, name: "old1", subnet: null }]);
    }
    expect((await jiji("gc")).stdout).toBe("nothing is stale\n");
  }, 120_000);
});

async function edit(server: string, change: (file: Record<string, unknown>) => object): Promise<void> {
  const file = JSON.parse(await world.run(server, ["cat", "/opt/jiji/members.json"])) as Record<string, unknown>;
  const text = `${JSON.stringify(change(file))}\n`;
  await world.run(server, ["sh", "-c", 'cat > "$1.new" && mv "$1.new" "$1"', "edit", "/opt/jiji/members.json"], text);
}
