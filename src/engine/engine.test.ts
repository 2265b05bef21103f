import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeEngine } from "../../test/fake-engine.ts";
import { parseEvent } from "./docker-api.ts";
import { EngineError, type Engine, type EngineEvent } from "./engine.ts";
import { openEngine } from "./open.ts";

const ID = "a".repeat(64);

let folder: string;
let fake: FakeEngine;
let engine: Engine;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "jiji-engine-"));
  fake = new FakeEngine(join(folder, "engine.sock"));
  await fake.start();
  engine = openEngine("docker", fake.socketPath);
});

afterEach(async () => {
  await fake.stop();
  rmSync(folder, { recursive: true });
});

describe("reads", () => {
  test("only containers of the network, whatever their state", async () => {
    fake.containers.set(ID, { id: ID, ports: ["80/tcp", "443/tcp", "53/udp"], health: "starting" });
    fake.containers.set("b".repeat(64), { id: "b".repeat(64), state: "exited", networks: { jiji: "" } });
    fake.containers.set("c".repeat(64), { id: "c".repeat(64), networks: { bridge: "172.17.0.2" } });
    const reading = await engine.containers("jiji");
    if (reading.state !== "found") throw new Error(JSON.stringify(reading));
    expect(reading.value.map(({ id, state, health }) => [id[0], state, health])).toEqual([
      ["a", "running", "starting"],
      ["b", "exited", "none"],
    ]);
    expect(reading.value[0]?.ports.map(({ port, protocol }) => `${port}/${protocol}`)).toEqual([
      "53/udp",
      "80/tcp",
      "443/tcp",
    ]);
    expect(reading.value[1]?.networks).toEqual({ jiji: null });
  });

  test("one container; none is absent", async () => {
    expect((await engine.container(ID)).state).toBe("absent");
    fake.containers.set(ID, { id: ID });
    expect(await engine.container(ID)).toMatchObject({ state: "found", value: { name: "web-1" } });
  });

  test("IPv4 networks of bridges only", async () => {
    expect(await engine.networks()).toEqual({
      state: "found",
      value: [
        { name: "jiji", cidr: "10.210.3.0/24" },
        { name: "bridge", cidr: "172.17.0.0/16" },
      ] as never,
    });
  });

  test("an image is asked for once", async () => {
    fake.containers.set(ID, { id: ID });
    await engine.container(ID);
    await engine.container(ID);
    expect(fake.requests.filter((path) => path.startsWith("/images/"))).toHaveLength(1);
  });

  test("an image that is gone is absent, not without labels", async () => {
    fake.containers.set(ID, { id: ID, imageId: "sha256:gone" });
    expect(await engine.container(ID)).toMatchObject({ value: { imageLabels: { state: "absent" } } });
  });
});

describe("an engine that does not answer is unknown, never empty", () => {
  test("no socket", async () => {
    await fake.stop();
    for (const reading of [
      await engine.containers("jiji"),
      await engine.container(ID),
      await engine.networks(),
      await engine.version(),
    ]) {
      expect(reading.state).toBe("unknown");
    }
  });

  test.each([
    ["an error", 500, "{}"],
    ["nonsense", 200, "<html>"],
    ["half an answer", 200, '[{"Id":'],
    ["another shape", 200, '{"message":"starting"}'],
    ["nothing there", 404, "{}"],
  ])("%s", async (_, status, body) => {
    for (const path of ["/containers/json", "/networks", "/version"]) fake.overrides.set(path, { status, body });
    expect((await engine.containers("jiji")).state).toBe("unknown");
    expect((await engine.networks()).state).toBe("unknown");
    expect((await engine.version()).state).toBe("unknown");
  });

  test("one container of the list that cannot be inspected makes the whole list unknown", async () => {
    fake.containers.set(ID, { id: ID });
    fake.overrides.set(`/containers/${ID}/json`, { status: 500, body: "{}" });
    expect((await engine.containers("jiji")).state).toBe("unknown");
  });
});

describe("events", () => {
  test("begin with listening, and leave out what health checks and exec make", async () => {
    const stop = new AbortController();
    const seen: EngineEvent[] = [];
    for await (const event of engine.events(stop.signal)) {
      seen.push(event);
      if (event.type === "listening") {
        fake.emit({ Type: "container", Action: "exec_create: true", Actor: { ID } });
        fake.emit({ Type: "container", Action: "kill", Actor: { ID, Attributes: { signal: "15" } } });
        fake.emit({ Type: "network", Action: "connect", Actor: { ID: "n", Attributes: { container: ID } } });
        fake.emit({ Type: "network", Action: "destroy", Actor: { ID: "n" } });
      }
      if (seen.length === 4) stop.abort();
    }
    expect(seen).toEqual([
      { type: "listening" },
      { type: "container", id: ID, action: "kill", signal: "15" },
      { type: "container", id: ID, action: "connect" },
      { type: "network", action: "destroy" },
    ]);
  });

  test("throw when the engine goes away", async () => {
    const listen = async (): Promise<void> => {
      for await (const event of engine.events(new AbortController().signal)) {
        if (event.type === "listening") await fake.stop();
      }
    };
    await expect(listen()).rejects.toBeInstanceOf(EngineError);
  });

  test("throw when there is no engine", async () => {
    await fake.stop();
    const iterator = engine.events(new AbortController().signal)[Symbol.asyncIterator]();
    await expect(iterator.next()).rejects.toBeInstanceOf(EngineError);
  });

  test("leaving the loop closes the connection", async () => {
    for await (const event of engine.events(new AbortController().signal)) if (event.type === "listening") break;
    while (fake.listeners > 0) await Bun.sleep(1);
  });

  test.each([
    {},
    null,
    5,
    { Type: "container", Action: "start", Actor: { ID: "../x" } },
    { Type: "image", Action: "x" },
  ])("%j is no hint", (json) => {
    expect(parseEvent(json)).toBeUndefined();
  });
});
