import { afterAll, beforeAll, expect, test } from "bun:test";
import { buildExecutable } from "../../tools/build.ts";
import { expectSuccess, runJiji, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/wait.ts";
import { addressesOf, removeContainer, runInContainer, startWebContainer } from "../../lab/workload.ts";

/**
 * A mesh without Corrosion: web1 holds the records for all. What works while it is there, and what does not while it is
 * away. The tests run in order and build on each other.
 */
const HOLDER = "web1";
const SETUP = ["network", "setup", "--yes"];
const STORE_PORT = 31282;

let lab: Lab;
let setupSaid: string;
const addresses: Record<string, string> = {};

beforeAll(async () => {
  await buildExecutable({});
  lab = await startLab({
    servers: [
      { name: HOLDER, release: "trixie", engine: "docker" },
      { name: "home", release: "trixie", engine: "podman" },
      { name: "db1", release: "trixie", engine: "docker" },
    ],
  });
  writeDeployFile(lab, { project: "shop", ssh: { timeout: 5000 }, network: { store: { embedded: HOLDER } } });
  const setup = expectSuccess(await runJiji(lab, [...SETUP, "-v"]), "setup");
  setupSaid = setup.stdout + setup.stderr;
  for (const { name } of lab.servers) {
    const shown = await lab.exec(name, ["ip", "-4", "-o", "address", "show", "dev", "jiji0"]);
    addresses[name] = /inet ([0-9.]+)/.exec(shown.stdout)?.[1] ?? "";
  }
}, 300_000);

afterAll(async () => {
  await lab?.down();
});

async function answers(server: string, name: string, count: number): Promise<readonly string[]> {
  return waitFor(
    async () => {
      const seen = await addressesOf(lab, server, addresses[server] ?? "", name);
      if (seen.length !== count) throw new Error(`answer: ${seen.join(" ") || "nothing"}`);
      return seen;
    },
    { timeoutMs: 30_000, what: `${server} to answer ${name} with ${count} addresses`, intervalMs: 50 },
  );
}

const start = (server: string, service: string): Promise<void> =>
  startWebContainer(lab, server, { name: service, project: "shop", service, text: `hello from ${server}` });

test("setup says what that store costs, and a second setup changes nothing", async () => {
  expect(setupSaid).toContain("for trials");
  expect(setupSaid).toContain(HOLDER);
  const again = expectSuccess(await runJiji(lab, [...SETUP, "--json"]), "second setup");
  const report = JSON.parse(again.stdout) as { servers: { steps: unknown[] }[]; notes: string[] };
  expect(report.servers.flatMap(({ steps }) => steps)).toEqual([]);
  expect(report.notes.join("\n")).toContain("for trials");
}, 60_000);

test("a page is fetched by name across servers and engines", async () => {
  await start("home", "api");
  await start("db1", "db");
  for (const [from, name, text] of [
    ["db1", "shop-api.jiji", "hello from home"],
    ["home", "shop-db.jiji", "hello from db1"],
    [HOLDER, "shop-api.jiji", "hello from home"],
  ] as const) {
    await answers(from, name, 1);
    const page = await runInContainer(lab, from, ["wget", "-q", "-T", "3", "-O", "-", `http://${name}/`]);
    expect(page.stdout.trim()).toBe(text);
  }
}, 60_000);

test("status tells on which server the records are", async () => {
  const people = expectSuccess(await runJiji(lab, ["network", "status"]), "status");
  expect(people.stdout).toContain(`records are kept on ${HOLDER} alone`);
  const json = expectSuccess(await runJiji(lab, ["network", "status", "--json"]), "status");
  expect((JSON.parse(json.stdout) as { store: unknown }).store).toEqual({ kind: "embedded", holder: HOLDER });
}, 30_000);

// security-tests: embedded-store
test("only the holder listens, and only to a server with the token", async () => {
  for (const { name } of lab.servers) {
    const listening = await lab.exec(name, ["ss", "-Hltn", `sport = :${STORE_PORT}`]);
    expect(listening.stdout.trim().split(/\s+/)[3] ?? "").toBe(
      name === HOLDER ? `${addresses[HOLDER]}:${STORE_PORT}` : "",
    );
  }
  const ask = async (...more: readonly string[]): Promise<string> => {
    const url = `http://${addresses[HOLDER]}:${STORE_PORT}/v1/queries`;
    const argv = ["curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "-d", '"SELECT 1"'];
    return (await lab.exec("home", [...argv, "-H", "content-type: application/json", ...more, url])).stdout;
  };
  expect(await ask()).toBe("401");
  expect(await ask("-H", "Authorization: Bearer guessed")).toBe("401");
  const token = (await lab.exec("home", ["cat", "/opt/jiji/store.token"])).stdout.trim();
  expect(await ask("-H", `Authorization: Bearer ${token}`)).toBe("200");
  expect(setupSaid).not.toContain(token);
  for (const { name } of lab.servers) {
    expect((await lab.exec(name, ["journalctl", "--no-pager", "-o", "cat"])).stdout).not.toContain(token);
  }
  const mode = await lab.exec("home", ["stat", "-c", "%a %U:%G", "/opt/jiji/store.token"]);
  expect(mode.stdout.trim()).toBe("640 root:jiji-corrosion");
}, 30_000);

test("while the holder is away, names resolve from the last known state and nothing new is learned", async () => {
  await lab.kill(HOLDER);
  await start("home", "late");
  expect((await answers("db1", "shop-api.jiji", 1)).length).toBe(1);
  expectSuccess(await lab.exec("db1", ["systemctl", "restart", "jiji-dns", "jiji-agent"]), "restart");
  await answers("db1", "shop-api.jiji", 1);
  await answers("home", "shop-db.jiji", 1);
  expect(await addressesOf(lab, "db1", addresses["db1"] ?? "", "shop-late.jiji")).toEqual([]);
  const status = await runJiji(lab, ["network", "status"]);
  expect(status.code).toBe(5);
  expect(status.stdout).toContain(`the records are kept on ${HOLDER}, which does not answer`);
}, 90_000);

test("when the holder is back, what happened meanwhile is known everywhere", async () => {
  await lab.start(HOLDER);
  await answers("db1", "shop-late.jiji", 1);
  await answers(HOLDER, "shop-late.jiji", 1);
  await removeContainer(lab, "home", "api");
  await answers("db1", "shop-api.jiji", 0);
}, 90_000);

test("teardown takes the store with it", async () => {
  for (const [server, name] of [
    ["home", "late"],
    ["db1", "db"],
  ] as const) {
    await removeContainer(lab, server, name);
  }
  expectSuccess(await runJiji(lab, ["network", "teardown", "--yes"]), "teardown");
  for (const path of ["/opt/jiji", "/var/lib/jiji-store", "/etc/systemd/system/jiji-store.service"]) {
    expect((await lab.exec(HOLDER, ["test", "-e", path])).code).toBe(1);
  }
}, 90_000);
