import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "../../../lab/wait.ts";
import { FakeEngine } from "../../../test/fake-engine.ts";
import { openEngine } from "../../engine/open.ts";
import { systemClock } from "../../system/clock.ts";
import { startEngineWatch, type EngineWatch } from "./engine-watch.ts";

let folder: string;
let engine: FakeEngine;
let watch: EngineWatch;
let lines: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "jiji-engine-watch-"));
  engine = new FakeEngine(join(folder, "engine.sock"));
  await engine.start();
  lines = [];
  const log = { info: (line: string) => void lines.push(line), warn: (line: string) => void lines.push(line) };
  const port = openEngine("docker", engine.socketPath);
  watch = startEngineWatch({ engine: port, network: "jiji", clock: systemClock, log, onChange: () => undefined });
  await waitFor(() => engine.listeners === 1 && watch.view.fullReads > 0, { timeoutMs: 5_000, what: "the first read" });
});

afterEach(async () => {
  await watch.close();
  await engine.stop();
  rmSync(folder, { recursive: true });
});

test("lets go of the events when it is told, without a complaint, and catches up afterwards", async () => {
  watch.release();
  await waitFor(() => engine.listeners === 0, { timeoutMs: 1_000, what: "the end of the stream" });
  const id = "a".repeat(64);
  engine.containers.set(id, { id });
  await waitFor(() => watch.view.containers.has(id), { timeoutMs: 10_000, what: "what happened meanwhile" });
  expect(engine.listeners).toBe(1);
  expect(lines.filter((line) => line.includes("broke off"))).toEqual([]);
});
