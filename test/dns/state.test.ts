import { afterEach, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { addresses, ask, cleanUp, container, setUp, until, web1, web2 } from "./dns-world.ts";
import { FastClock } from "../fast-clock.ts";
import type { StoreUrl } from "../../src/store/store-url.ts";
import { askDns } from "../../src/dns/operation/control-client.ts";

afterEach(cleanUp);

const NOWHERE = "http://127.0.0.1:1" as StoreUrl;
const NAME = "shop-web.jiji";

type World = Awaited<ReturnType<typeof setUp>>;

/** How often the store was read whole so far. */
async function resyncs({ settings }: World): Promise<number> {
  return (await askDns(settings.controlSocket!, { type: "status" })).store.resyncs;
}

describe("the end of a subscription", () => {
  const ends: readonly (readonly [what: string, end: (world: World) => void])[] = [
    ["an error line", ({ faults }) => faults.failStreams("too slow")],
    ["a silent end", ({ faults }) => faults.closeStreams()],
    ["change ids that jump", ({ faults }) => faults.shiftChangeIds(5)],
    ["smaller change ids, as after a restore", ({ faults }) => faults.shiftChangeIds(-1)],
  ];

  // dns-contract: stream-ends
  test.each(ends)("after %s the next one follows, and names stay answered meanwhile", async (_what, end) => {
    const world = await setUp();
    const { put, start, client } = world;
    await put(web1, 0, container("web", "10.210.0.2"));
    await put(web1, 1, container("gone", "10.210.0.3"));
    const server = await start();
    await until(server, NAME, ["10.210.0.2"]);
    await put(web1, 2, container("more", "10.210.0.9"));
    await until(server, "shop-more.jiji", ["10.210.0.9"]);
    const before = await resyncs(world);
    end(world);
    // A change shows wrong ids; it must reach the answers all the same, and so must what has gone.
    await put(web2, 0, container("web", "10.210.1.2"));
    await client.transact([{ sql: "DELETE FROM containers WHERE n = 1", params: [] }]);
    expect(addresses(await ask(server, "A", NAME)).length).toBeGreaterThan(0);
    await until(server, NAME, ["10.210.0.2", "10.210.1.2"]);
    while ((await ask(server, "A", "shop-gone.jiji")).answers!.length > 0) await Bun.sleep(5);
    while ((await resyncs(world)) === before) await Bun.sleep(5);
  });

  // dns-contract: stall
  test("a stream that stays open and says nothing is found out by a probe", async () => {
    // The probe of a store over HTTP comes every 15 s; a difference counts after 5 s.
    const world = await setUp({}, { clock: new FastClock(20) });
    const { put, start, faults } = world;
    await put(web1, 0, container("web", "10.210.0.2"));
    const server = await start();
    await until(server, NAME, ["10.210.0.2"]);
    faults.stall();
    await put(web2, 0, container("web", "10.210.1.2"));
    expect(addresses(await ask(server, "A", NAME))).toEqual(["10.210.0.2"]);
    const status = () => askDns(world.settings.controlSocket!, { type: "status" });
    while ((await status()).store.connected) await Bun.sleep(20);
    expect((await status()).store.why).toContain("silent");
    expect(addresses(await ask(server, "A", NAME))).toEqual(["10.210.0.2"]);
    faults.resume();
    await until(server, NAME, ["10.210.0.2", "10.210.1.2"]);
  }, 60_000);

  // dns-contract: back-off
  test("streams that end again and again cost ever longer waits, and one line a minute", async () => {
    const world = await setUp();
    const { put, start, faults, lines } = world;
    await put(web1, 0, container("web", "10.210.0.2"));
    const server = await start();
    await until(server, NAME, ["10.210.0.2"]);
    const endMs = performance.now() + 2_500;
    while (performance.now() < endMs) {
      faults.closeStreams();
      await Bun.sleep(20);
    }
    // 100 ms, 200, 400, 800 … of which half is drawn
    expect(await resyncs(world)).toBeLessThan(10);
    expect(addresses(await ask(server, "A", NAME))).toEqual(["10.210.0.2"]);
    expect(lines.filter((line) => line.includes("in step")).length).toBe(1);
    expect(lines.filter((line) => line.includes("answering what was known last")).length).toBeLessThanOrEqual(1);
  });
});

describe("a snapshot takes the place of what was known in one step", () => {
  // dns-contract: snapshot-replaces
  test("no answer is ever empty or half while thousands of rows are exchanged", async () => {
    const world = await setUp();
    const { put, start, faults, client } = world;
    const rows = Array.from({ length: 3_000 }, (_, n) => ({
      sql: "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)",
      params: [web2.id, n + 10, container(`s${n % 900}`, `10.210.1.${2 + (n % 250)}`)],
    }));
    await client.transact(rows);
    await put(web1, 0, container("web", "10.210.0.2"));
    await put(web1, 1, container("web", "10.210.0.3"));
    const server = await start();
    await until(server, NAME, ["10.210.0.2", "10.210.0.3"]);
    const before = await resyncs(world);
    faults.closeStreams();
    while ((await resyncs(world)) === before) {
      expect(addresses(await ask(server, "A", NAME))).toEqual(["10.210.0.2", "10.210.0.3"]);
    }
  });
});

describe("the saved table", () => {
  async function saved(): Promise<World> {
    const world = await setUp();
    await world.put(web1, 0, container("web", "10.210.0.2"));
    const first = await world.start();
    await until(first, NAME, ["10.210.0.2"]);
    await first.close();
    return world;
  }

  // dns-contract: saved-table-at-start
  test("is loaded at start, and answers without store and agent", async () => {
    const { start, settings } = await saved();
    const second = await start(NOWHERE);
    expect(addresses(await ask(second, "A", NAME))).toEqual(["10.210.0.2"]);
    expect(addresses(await ask(second, "A", "web2.server.jiji"))).toEqual(["10.210.1.1"]);
    const status = await askDns(settings.controlSocket!, { type: "status" });
    expect(status).toMatchObject({ source: "saved", store: { connected: false, ageSeconds: null } });
  });

  // dns-contract: saved-table-malformed
  test("cut anywhere, it is not there: own names fail, nothing is wrong, and the store makes all whole", async () => {
    const { start, settings } = await saved();
    const text = await readFile(settings.stateFile!, "utf8");
    for (const part of [0, 0.3, 0.6, 0.99]) {
      await writeFile(settings.stateFile!, text.slice(0, Math.floor(text.length * part)));
      const cut = await start(NOWHERE);
      expect(await ask(cut, "A", NAME)).toMatchObject({ rcode: "SERVFAIL", answers: [] });
      await cut.close();
    }
    const whole = await start();
    await until(whole, NAME, ["10.210.0.2"]);
    await whole.close();
    expect(addresses(await ask(await start(NOWHERE), "A", NAME))).toEqual(["10.210.0.2"]);
  });

  // dns-contract: saved-table-malformed
  test("of another shape, another cluster or with names that are none, it is not there", async () => {
    const { start, settings } = await saved();
    const good = JSON.parse(await readFile(settings.stateFile!, "utf8")) as Record<string, unknown>;
    const spoiled: readonly object[] = [
      { ...good, version: 2 },
      { ...good, cluster: "10.99.0.0/16" },
      { ...good, "column address": [] },
      { ...good, "column state": [99] },
      { ...good, "column project": [1e9] },
      { ...good, texts: ["not a label!", "x"] },
      { ...good, servers: [{ id: web1.id, name: "no label at all", subnet: 0 }] },
      { ...good, servers: [{ id: "../../etc", name: "web1", subnet: 0 }] },
      [1, 2, 3],
    ];
    for (const value of spoiled) {
      await writeFile(settings.stateFile!, JSON.stringify(value));
      const server = await start(NOWHERE);
      expect(await ask(server, "A", NAME)).toMatchObject({ rcode: "SERVFAIL" });
      await server.close();
    }
  });
});

describe("hostile rows", () => {
  // dns-contract: hostile-rows
  test("what cannot be read, is not its owner's or is doubled changes nothing, is counted, and logged once a minute", async () => {
    const { put, start, lines, settings, client } = await setUp();
    const good = JSON.parse(container("evil", "10.210.0.50")) as Record<string, unknown>;
    const hostile: readonly unknown[] = [
      "{",
      "null",
      JSON.stringify({ ...good, service: "not a label" }),
      JSON.stringify({ ...good, service: "a.b" }),
      JSON.stringify({ ...good, service: "x".repeat(64) }),
      JSON.stringify({ ...good, project: "\u0000" }),
      JSON.stringify({ ...good, address: "1.2.3" }),
      JSON.stringify({ ...good, containerId: undefined }),
      JSON.stringify({ ...good, state: "splendid" }),
      JSON.stringify({ ...good, rev: 2 ** 60 }),
    ];
    for (const [n, record] of hostile.entries()) await put(web1, n, record as string);
    const foreign = ["10.210.1.2", "10.210.0.1", "10.210.0.255", "10.210.0.0", "192.0.2.1"];
    for (const [n, address] of foreign.entries()) await put(web1, 20 + n, container("evil", address));
    await put({ id: "nobody" }, 0, container("evil", "10.210.0.60"));
    await put(web1, 40, "");
    await put(web1, 50, container("web", "10.210.0.2"));
    await put(web1, 51, container("web", "10.210.0.2"));
    await client.transact([
      {
        sql: "INSERT INTO containers (server_id, n, record) VALUES (?, ?, ?)",
        params: [web1.id, -5, container("evil", "10.210.0.7")],
      },
    ]);
    const server = await start();
    await until(server, NAME, ["10.210.0.2"]);
    expect(await ask(server, "A", "shop-evil.jiji")).toMatchObject({ rcode: "NXDOMAIN" });
    expect(lines.filter((line) => line.includes("cannot be read"))).toHaveLength(1);
    const { host, port } = server.metrics!;
    const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
    expect(text).toContain(`jiji_dns_rows_unreadable_total ${hostile.length}`);
    expect(text).toContain(`jiji_dns_rows_ignored ${foreign.length + 1}`);
    expect((await askDns(settings.controlSocket!, { type: "status" })).rows).toBe(2);
    // They may come later too, and go again.
    await put(web1, 60, "{}");
    await put(web1, 50, "{");
    await put(web1, 51, container("web", "10.210.0.3"));
    await until(server, NAME, ["10.210.0.3"]);
  });
});
