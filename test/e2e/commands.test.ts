import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Trace } from "../../src/model/dns-trace.ts";
import { startCommandMesh, type CommandMesh } from "./command-mesh.ts";

/**
 * The commands that explain what the network knows, on real servers: healthy, unhealthy, stopped, drained and hidden
 * containers, a hostile row, a server without tunnels and one that is gone. The tests run in order and build on each other.
 */
let mesh: CommandMesh;
const ids: Record<string, string> = {};

beforeAll(async () => {
  mesh = await startCommandMesh();
  const made = await Promise.all([
    mesh.start({ server: "web1", name: "api-1", project: "shop", service: "api", instance: "one" }),
    mesh.start({ server: "home", name: "api-2", project: "shop", service: "api", instance: "two" }),
    mesh.start({ server: "db1", name: "hider", project: "shop-api", service: "one" }),
    mesh.start({ server: "web1", name: "ill", project: "shop", service: "ill", healthCommand: "false" }),
    mesh.start({ server: "db1", name: "old", project: "shop", service: "old" }),
    mesh.start({ server: "db1", name: "lonely", project: "shop", service: "lonely", network: "bridge" }),
  ]);
  for (const [index, name] of ["api-1", "api-2", "hider", "ill", "old", "lonely"].entries()) ids[name] = made[index]!;
  await mesh.on("db1", "docker", "stop", "-t", "1", "old");
  await writeHostileRow();
  // Whatever is being written is known to everybody after this.
  await mesh.until(["network", "dns"], 0, (text) => /shop-ill\.jiji .*unhealthy/.test(text) && /shop-old/.test(text));
}, 300_000);

afterAll(async () => {
  await mesh?.lab.down();
}, 60_000);

/** A row of a server that is no member, as only somebody with the store's token can write it. */
async function writeHostileRow(): Promise<void> {
  const record = {
    containerId: "e".repeat(64),
    project: "shop",
    service: "api",
    instance: null,
    address: "10.210.200.2",
    state: "healthy",
    ports: [],
    meta: { name: "\u001b[2Jevil\u202e", image: "x\ny" },
    rev: Date.now(),
  };
  const statement = [
    "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)",
    ["stranger\u001b[31m", 0, JSON.stringify(record)],
  ];
  const script =
    'curl -sf -X POST -H "content-type: application/json" -H "authorization: Bearer $(cat /opt/jiji/corrosion/token)" ' +
    '-d "$1" http://127.0.0.1:31220/v1/transactions';
  await mesh.on("home", "sh", "-c", script, "write", JSON.stringify([statement]));
}

interface DnsJson {
  readonly names: readonly { readonly name: string; readonly records: readonly { readonly answered: boolean }[] }[];
  readonly answers: readonly { readonly name: string; readonly rcode: string; readonly addresses: readonly string[] }[];
  readonly differences: readonly { readonly name: string; readonly views: readonly { readonly servers: string[] }[] }[];
}

test("network dns: names, states, what is hidden by an equal name; all servers agree", async () => {
  const { stdout, code } = await mesh.jiji("network", "dns");
  expect(code).toBe(0);
  expect(stdout).toMatch(/shop-api\.jiji +10\.210\.\d\.\d+ +web1 +[0-9a-f]{12} +healthy +60 s/);
  expect(stdout).toMatch(/shop-api\.jiji +10\.210\.\d\.\d+ +home +[0-9a-f]{12} +healthy +60 s/);
  expect(stdout).toMatch(/shop-ill\.jiji .* unhealthy: not answered/);
  expect(stdout).toMatch(/shop-old\.jiji +- +db1 .* stopped: not answered/);
  expect(stdout).toContain("shop-api-one.jiji means service one of project shop-api; instance one of service api");
  expect(stdout).toMatch(/the same on web1, home, db1\n$/);
  expect(stdout).not.toContain("\u001b");
  const none = await mesh.jiji("network", "dns", "shop-apj");
  expect([none.code, none.stderr]).toEqual([1, "error: no name contains shop-apj\nhint: did you mean shop-api?\n"]);
});

test("network dns --from: the same over the wire, from each server", async () => {
  for (const server of ["web1", "home", "db1"] as const) {
    const { answers, differences } = await mesh.json<DnsJson>(0, "network", "dns", "shop", "--from", server);
    expect(differences).toEqual([]);
    const byName = new Map(answers.map((answer) => [answer.name, answer]));
    const seen = [...byName.get("shop-api.jiji")!.addresses].toSorted();
    expect(seen).toEqual([...(await mesh.answers(server, "shop-api.jiji"))]);
    expect(byName.get("shop-ill.jiji")).toMatchObject({ rcode: "NOERROR", addresses: [] });
    expect(byName.get("shop.jiji")).toMatchObject({ rcode: "NXDOMAIN" });
  }
  const { stdout } = await mesh.jiji("network", "dns", "--from", "home");
  expect(stdout).toMatch(/shop-ill\.jiji +no address/);
  expect(stdout).toMatch(/shop-ill\.jiji +not 10\.210\.\d\.\d+ .*unhealthy/);
  expect(stdout).not.toContain("≠");
}, 60_000);

test("network inspect: by id prefix, name, address and DNS name, on any server", async () => {
  const [address = ""] = await mesh.answers("web1", "shop-api-two.jiji");
  for (const text of [ids["api-2"]!.slice(0, 12), "api-2", address, "shop-api-two.jiji", "two"]) {
    const { stdout, code } = await mesh.jiji("network", "inspect", "--container", text);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`api-2 ${ids["api-2"]!.slice(0, 12)} on home`)]);
    expect(stdout).toMatch(/state +running +healthy +healthy\n/);
    expect(stdout).toMatch(
      /home \(its server\) +row \d+, healthy, rev \d+ +answers shop-api\.jiji, shop-api-two\.jiji/,
    );
    expect(stdout).toMatch(/db1 +row \d+, healthy, rev \d+ +answers shop-api\.jiji/);
  }
  const hidden = await mesh.jiji("network", "inspect", "--container", "api-1");
  expect(hidden.stdout).toContain("shop-api-one.jiji does not lead to it: shop-api-one.jiji means service one");
}, 60_000);

test("network inspect: unhealthy, stopped and beside the network are no differences, and are explained", async () => {
  const ill = await mesh.jiji("network", "inspect", "--container", "ill");
  expect([ill.code, ill.stdout]).toEqual([0, expect.stringMatching(/state +running, unhealthy +unhealthy +unhealthy/)]);
  expect(ill.stdout).toMatch(/home .* leaves it out: it is unhealthy/);
  const old = await mesh.jiji("network", "inspect", "--container", "old");
  expect([old.code, old.stdout]).toEqual([0, expect.stringMatching(/state +exited +stopped +stopped/)]);
  const lonely = await mesh.jiji("network", "inspect", "--container", "lonely");
  expect([lonely.code, lonely.stdout]).toEqual([0, expect.stringContaining("it is not on the network jiji")]);
}, 60_000);

test("network inspect: several, none, and a hostile row", async () => {
  const several = await mesh.jiji("network", "inspect", "--container", "shop-api.jiji");
  expect([several.code, several.stderr]).toEqual([1, expect.stringContaining("shop-api.jiji fits 2 containers")]);
  expect(several.stderr).toMatch(/web1 +api-1[^]*home|home +api-2[^]*web1/);
  const none = await mesh.jiji("network", "inspect", "--container", "\u001b[31mnosuch");
  expect(none.code).toBe(1);
  expect(none.stderr).toContain("no container is called \\u001b[31mnosuch on web1, home, db1");
  const hostile = await mesh.jiji("network", "inspect", "--container", "eeeeeeeeeeee");
  expect(hostile.stdout).toContain("\\u001b[2Jevil\\u202e eeeeeeeeeeee on stranger\\u001b[31m, which is no member");
  expect(hostile.stdout).toMatch(/web1 .*leaves it out: its owner is no member of the mesh/);
  expect(hostile.stdout + hostile.stderr).not.toMatch(/[\u001b\u202e]/);
}, 60_000);

test("jiji dns trace: rows, reasons and the answer; from the server, the relay and the store alike", async () => {
  const trace = async (...words: string[]): Promise<Trace> => {
    const said = await mesh.on("web1", "/opt/jiji/bin/jiji", "dns", "trace", "shop-api", "--json", ...words);
    return (JSON.parse(said) as { trace: Trace }).trace;
  };
  const running = await trace();
  expect(running.answer.records.map(({ data }) => data).toSorted()).toEqual([
    ...(await mesh.answers("web1", "shop-api.jiji")),
  ]);
  expect(running.rows.map(({ server, isAnswered }) => `${server} ${isAnswered}`).toSorted()).toEqual([
    "home true",
    "stranger\\u001b[31m false",
    "web1 true",
  ]);
  const agent = ["--agent-socket", "/run/jiji/agent/agent.sock"];
  expect(await trace("--store", "unix:/run/jiji/agent/store.sock", ...agent)).toEqual(running);
  const token = ["--token-file", "/opt/jiji/corrosion/token"];
  expect(await trace("--store", "http://127.0.0.1:31220", ...token)).toEqual(running);
  const shown = await mesh.on("web1", "/opt/jiji/bin/jiji", "dns", "trace", "shop-api-one");
  expect(shown).toContain("instance one of service api of project shop is spelled like it and hidden");
}, 60_000);

test("network drain: hidden everywhere, also after its agent started again; --undo shows it again", async () => {
  const [address = ""] = await mesh.answers("db1", "shop-api-two.jiji");
  const drained = await mesh.jiji("network", "drain", "api-2");
  expect([drained.code, drained.stderr]).toEqual([0, ""]);
  expect(drained.stdout).toMatch(
    /api-2 [0-9a-f]{12} on home is draining\nhidden from the answers of web1, home, db1 after [0-9.]+ s/,
  );
  console.log(drained.stdout.split("\n")[1]);
  for (const server of ["web1", "home", "db1"] as const) {
    expect(await mesh.answers(server, "shop-api.jiji")).not.toContain(address);
  }
  await mesh.on("home", "systemctl", "restart", "jiji-agent");
  const seen = await mesh.until(["network", "inspect", "--container", "api-2"], 0, (text) => text.includes("draining"));
  expect(seen.stdout).toMatch(/state +running +draining +draining\n/);
  const back = await mesh.jiji("network", "drain", ids["api-2"]!.slice(0, 12), "--undo");
  expect([back.code, back.stderr]).toEqual([0, ""]);
  for (const server of ["web1", "home", "db1"] as const) {
    expect(await mesh.answers(server, "shop-api.jiji")).toContain(address);
  }
  const idle = await mesh.jiji("network", "drain", "old");
  expect([idle.code, idle.stdout]).toEqual([0, expect.stringContaining("is exited: it is not answered anyway")]);
}, 120_000);

test("a server without tunnels: where servers disagree is shown, with the reason", async () => {
  await mesh.cutTunnels("db1");
  const split = await mesh.until(["network", "dns"], 5, (text) => /shop-api-one\.jiji +web1, home/.test(text));
  expect(split.stdout).toContain("servers disagree on");
  expect(split.stdout).toMatch(/shop-api-one\.jiji +db1 +10\.210\.\d+\.\d+/);
  expect(split.stdout).toMatch(/shop-api-one\.jiji +web1, home +no address +.*its server cannot be reached from here/);
  const { differences } = await mesh.json<DnsJson>(5, "network", "dns", "shop-api-one", "--from", "db1");
  expect(differences.map(({ name }) => name)).toEqual(["shop-api-one.jiji"]);
  const seen = await mesh.jiji("network", "inspect", "--container", "hider");
  expect([seen.code, seen.stdout]).toEqual([
    5,
    expect.stringMatching(/web1 .*leaves it out: its server cannot be reached from here ≠/),
  ]);
  expect(seen.stdout).toMatch(/db1 \(its server\) .*answers shop-api-one\.jiji\n/);
  const trace = await mesh.on("web1", "/opt/jiji/bin/jiji", "dns", "trace", "shop-api-one");
  expect(trace).toContain("no: its server cannot be reached from here");
  await mesh.healTunnels("db1");
  await mesh.until(["network", "dns"], 0, (text) => text.includes("the same on web1, home, db1"));
}, 120_000);

test("a server that is gone: the others tell what they know, and say who was not asked", async () => {
  await mesh.lab.cut("db1");
  const dns = await mesh.jiji("network", "dns", "shop-api");
  expect(dns.code).toBe(0);
  expect(dns.stderr).toContain("db1 was not asked:");
  const seen = await mesh.jiji("network", "inspect", "--container", "hider");
  expect(seen.stdout).toMatch(/db1 \(its server\) +not asked: /);
  expect([4, 5]).toContain(seen.code);
  const drained = await mesh.jiji("network", "drain", "hider");
  expect([drained.code, drained.stderr]).toEqual([1, expect.stringContaining("hider is on db1, which was not asked")]);
  const from = await mesh.jiji("network", "dns", "--from", "db1");
  expect([from.code, from.stderr]).toEqual([1, expect.stringContaining("error: db1: ")]);
  await mesh.lab.heal("db1");
  await mesh.until(["network", "dns"], 0, (text) => text.includes("the same on web1, home, db1"));
}, 120_000);
