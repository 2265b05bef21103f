import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { container, web1, web2 } from "../../../test/dns/dns-world.ts";
import type { DnsSettings } from "../../model/dns-settings.ts";
import { systemClock } from "../../system/clock.ts";
import { ProblemLog } from "../telemetry/problem-log.ts";
import { readFacts } from "../zone/container-rows.ts";
import { Zone } from "../zone/zone.ts";
import { MeshState } from "./mesh-state.ts";
import { loadTable, saveTable } from "./saved-table.ts";

const CLUSTER = "10.210.0.0/16" as never;
const MESH = { self: web1.id, networks: [], savedAtMs: 0 };
const atOnce = async (): Promise<void> => undefined;

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "jiji-table-"));
  path = join(folder, "table.json");
});
afterEach(() => rmSync(folder, { recursive: true }));

function emptyZone(): Zone {
  return new Zone({ cluster: CLUSTER, localFirst: false, nowMs: () => systemClock.nowMs() });
}

function put(zone: Zone, n: number): void {
  zone.set(zone.owners.place(web1.id, n)!, readFacts(container(`s${n}`, `10.210.0.${n + 2}`)));
}

/** A zone with that many containers. */
function zoneWith(rows: number): Zone {
  const zone = emptyZone();
  zone.setServers([web1, web2].map(({ id, name, subnet }) => ({ id, name, subnet })));
  for (let n = 0; n < rows; n++) put(zone, n);
  return zone;
}

/** How many rows somebody who starts now would find; undefined: no table. */
async function rowsOnDisk(): Promise<number | undefined> {
  const zone = emptyZone();
  return (await loadTable(path, zone)) === undefined ? undefined : zone.rowCount;
}

describe("a table is written beside the last one and takes its place whole", () => {
  // dns-contract: saved-table-whole
  test("whenever the power fails, one of both is there", async () => {
    await saveTable(path, zoneWith(3), MESH, atOnce);
    const found: (number | undefined)[] = [];
    await saveTable(path, zoneWith(5), MESH, async () => void found.push(await rowsOnDisk()));
    expect(found.length).toBeGreaterThan(10);
    expect(new Set(found)).toEqual(new Set([3]));
    expect(await rowsOnDisk()).toBe(5);
  });

  test("one that cannot be written whole leaves the last one, and nothing else", async () => {
    await saveTable(path, zoneWith(3), MESH, atOnce);
    let pauses = 0;
    const failing = async (): Promise<void> => {
      if (++pauses === 5) throw new Error("no space left");
    };
    await expect(saveTable(path, zoneWith(5), MESH, failing)).rejects.toThrow("no space left");
    expect(await rowsOnDisk()).toBe(3);
    expect(existsSync(`${path}.new`)).toBe(false);
  });

  // dns-contract: saved-table-whole
  test.if(process.platform === "linux")("a full disk leaves the last one", async () => {
    await saveTable(path, zoneWith(3), MESH, atOnce);
    symlinkSync("/dev/full", `${path}.new`);
    await expect(saveTable(path, zoneWith(5), MESH, atOnce)).rejects.toThrow("ENOSPC");
    expect(await rowsOnDisk()).toBe(3);
    await saveTable(path, zoneWith(5), MESH, atOnce);
    expect(await rowsOnDisk()).toBe(5);
  });
});

describe("while the server runs", () => {
  /** Its state with a clock that a test turns, and a word in each of its pauses. */
  function running(onPause: (zone: Zone) => void = () => undefined) {
    const zone = zoneWith(1);
    const time = { ms: 1_000_000 };
    const clock = { ...systemClock, monotonicMs: () => time.ms };
    const warnings: string[] = [];
    const log = new ProblemLog({ info: () => undefined, warn: (line) => void warnings.push(line) }, clock);
    const mesh = new MeshState({
      zone,
      settings: { self: null, stateFile: path, agentSocket: null } as unknown as DnsSettings,
      clock,
      log,
      onChange: () => undefined,
      onNetworks: () => undefined,
      onReadable: atOnce,
      pause: async () => onPause(zone),
    });
    mesh.membersChanged();
    return { zone, time, mesh, warnings };
  }

  async function untilRows(rows: number): Promise<void> {
    while ((await rowsOnDisk()) !== rows) await Bun.sleep(1);
  }

  // dns-contract: saved-table-whole
  test("the table is saved after a snapshot, and what changes then ten seconds later, also when nothing follows", async () => {
    const { zone, time, mesh } = running();
    await mesh.snapshotDone();
    await untilRows(1);
    time.ms += 9_000;
    put(zone, 1);
    mesh.rowsChanged();
    mesh.tick();
    time.ms += 1_000;
    mesh.tick();
    await untilRows(2);
  });

  test("a snapshot that takes the place of what was known in the middle of a save is in it whole, or not at all", async () => {
    const factsOf = (subnet: number) =>
      Array.from({ length: 900 }, (_, n) => readFacts(container(`s${n}`, `10.210.${subnet}.${2 + (n % 250)}`)));
    const servers = [web1.id, web2.id].map((id, subnet) => ({ id, facts: factsOf(subnet) }));
    for (let at = 1; at < 5; at++) {
      let pauses = 0;
      let turn: Promise<void> = Promise.resolve();
      const { zone, mesh } = running(() => {
        if (++pauses !== at) return;
        // Both servers' rows get other numbers, a slice of them per turn of the event loop.
        zone.beginSnapshot(true);
        for (const { id, facts } of servers) {
          for (const [n, each] of facts.entries()) zone.snapshotRow(zone.owners.place(id, 1_000 + n)!, each);
        }
        turn = zone.endSnapshot(() => Bun.sleep(1));
      });
      for (const { id, facts } of servers) {
        for (const [n, each] of facts.entries()) zone.set(zone.owners.place(id, n)!, each);
      }
      const before = zone.rowCount;
      await mesh.snapshotDone();
      await mesh.save();
      await turn;
      expect(zone.rowCount).toBe(1_800);
      const saved = await rowsOnDisk();
      expect([at, saved === before || saved === 1_800]).toEqual([at, true]);
    }
  });

  // dns-contract: saved-table-whole
  test("a table that could not be saved is said, and saved later", async () => {
    const { zone, time, mesh, warnings } = running();
    await mesh.snapshotDone();
    await untilRows(1);
    mkdirSync(`${path}.new`);
    put(zone, 1);
    time.ms += 10_000;
    mesh.rowsChanged();
    while (warnings.length === 0) await Bun.sleep(1);
    expect(warnings[0]).toContain("the table could not be saved");
    expect(await rowsOnDisk()).toBe(1);
    rmdirSync(`${path}.new`);
    time.ms += 10_000;
    mesh.tick();
    await untilRows(2);
  });
});
