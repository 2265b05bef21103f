import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startLab, type Lab, type ServerRequest } from "../../lab/lab.ts";
import { labImage, loadLabImage } from "../../lab/server-image.ts";
import { waitFor } from "../../lab/wait.ts";
import type { Engine, EngineContainer, EngineEvent } from "../../src/engine/engine.ts";
import { openEngine } from "../../src/engine/open.ts";

/**
 * What jiji believes of container engines, held against real ones: three generations of Debian, both engines. The fake
 * engine of the unit tests says nothing that these do not.
 */
const SERVERS: readonly (ServerRequest & { readonly engine: "docker" | "podman" })[] = [
  { name: "docker26", release: "trixie", engine: "docker" },
  { name: "podman43", release: "bookworm", engine: "podman" },
  { name: "docker28", release: "forky", engine: "docker" },
  { name: "podman54", release: "trixie", engine: "podman" },
];

/** Fixed, so that a test can name it; the network needs no tunnel. */
const NETWORK = ["network", "create", "--subnet", "10.210.3.0/24", "--gateway", "10.210.3.1"];

let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ servers: SERVERS });
}, 900_000);

afterAll(async () => {
  await lab?.down();
});

describe.each(SERVERS)("$name", ({ name: server, engine: kind }) => {
  let engine: Engine;
  const events: EngineEvent[] = [];
  const stop = new AbortController();
  let broken: Error | undefined;

  const run = async (...argv: string[]): Promise<string> => {
    const result = await lab.exec(server, [kind, ...argv]);
    if (result.code !== 0) throw new Error(`${kind} ${argv.join(" ")}: ${result.stderr}`);
    return result.stdout.trim();
  };

  const inspect = async (id: string): Promise<EngineContainer> => {
    const reading = await engine.container(id);
    if (reading.state !== "found") throw new Error(JSON.stringify(reading));
    return reading.value;
  };

  const listed = async (): Promise<readonly EngineContainer[]> => {
    const reading = await engine.containers("jiji");
    if (reading.state !== "found") throw new Error(JSON.stringify(reading));
    return reading.value;
  };

  const saw = (id: string, action: RegExp): Promise<unknown> =>
    waitFor(() => events.some((event) => event.type === "container" && event.id === id && action.test(event.action)), {
      timeoutMs: 5_000,
      what: `${kind} to say ${action} of ${id}; said ${JSON.stringify(events.filter((e) => "id" in e && e.id === id))}`,
      intervalMs: 5,
    });

  /** Opens the engine's socket inside the server, seen from this machine. */
  const listen = async (): Promise<void> => {
    const pid = lab.servers.find(({ name }) => name === server)?.leaderPid();
    engine = openEngine(kind, `/proc/${pid}/root/run/${kind === "docker" ? "docker.sock" : "podman/podman.sock"}`);
    events.length = 0;
    broken = undefined;
    void (async () => {
      try {
        for await (const event of engine.events(stop.signal)) events.push(event);
      } catch (error) {
        broken = error as Error;
      }
    })();
    await waitFor(() => events[0]?.type === "listening", { timeoutMs: 10_000, what: "the head of the event stream" });
  };

  beforeAll(async () => {
    if (kind === "podman") await lab.exec(server, ["systemctl", "start", "podman.socket"]);
    await run(...NETWORK, ...(kind === "podman" ? ["--disable-dns"] : []), "jiji");
    await loadLabImage(lab.id, server, { name: "labelled:latest", labels: { "jiji.project": "image", kept: "yes" } });
    await listen();
  }, 60_000);

  afterAll(() => stop.abort());

  test("version and the networks of its own bridges", async () => {
    expect(await engine.version()).toMatchObject({ state: "found", value: expect.stringMatching(/^[0-9]+\.[0-9]+/) });
    const networks = await engine.networks();
    if (networks.state !== "found") throw new Error(networks.state);
    expect(networks.value).toContainEqual({ name: "jiji", cidr: "10.210.3.0/24" } as never);
  });

  // security-tests: host-network-containers
  test("a container on the server's own network is told by its name", async () => {
    expect(await engine.onHostNetwork()).toEqual({ state: "found", value: [] });
    const id = await run("run", "-d", "--network", "host", "--name", "hosted", labImage, "sleep", "1000");
    const beside = await run("run", "-d", "--name", "beside", labImage, "sleep", "1000");
    const alone = await run("run", "-d", "--network", "none", "--name", "alone", labImage, "sleep", "1000");
    expect(await engine.onHostNetwork()).toEqual({ state: "found", value: ["hosted"] });
    await run("rm", "-f", id, beside, alone);
  }, 30_000);

  test("a container's life, by events and inspection", async () => {
    const id = await run("create", "--network", "jiji", "--name", "web", "--expose", "80/tcp", "-l", "a=b", labImage);
    await saw(id, /^create$/);
    expect(await inspect(id)).toMatchObject({ name: "web", state: "created", health: "none", labels: { a: "b" } });
    await run("start", id);
    await saw(id, /^start$/);
    const running = await inspect(id);
    expect(running).toMatchObject({ state: "running", networks: { jiji: "10.210.3.2" } });
    expect(running.ports).toEqual([{ port: 80, protocol: "tcp" }]);
    expect((await listed()).map((container) => container.id)).toEqual([id]);
    expect((await listed())[0]).toEqual(running);
    await run("pause", id);
    await saw(id, /^pause$/);
    expect((await inspect(id)).state).toBe("paused");
    await run("unpause", id);
    await saw(id, /^unpause$/);
    await run("stop", "-t", "1", id);
    await saw(id, /^(die|died)$/);
    await waitFor(async () => (await inspect(id)).state === "exited", { timeoutMs: 3_000, what: "exited" });
    expect(await listed()).toMatchObject([{ id, state: "exited", networks: { jiji: null } }]);
    await run("rm", id);
    await saw(id, /^(destroy|remove)$/);
    expect((await engine.container(id)).state).toBe("absent");
    expect(await listed()).toEqual([]);
  }, 30_000);

  test("a stop by the engine is announced by a signal before the container dies, with Docker", async () => {
    const id = await run("run", "-d", "--network", "jiji", "--stop-signal", "SIGTERM", labImage, "sleep", "1000");
    await run("stop", "-t", "1", id);
    await saw(id, /^(die|died)$/);
    const actions = events.flatMap((event) => (event.type === "container" && event.id === id ? [event] : []));
    const kill = actions.findIndex(({ action }) => action === "kill");
    const die = actions.findIndex(({ action }) => /^(die|died)$/.test(action));
    if (kind === "docker") {
      expect(actions[kill]?.signal).toBe("15");
      expect(kill).toBeLessThan(die);
    } else {
      expect(kill).toBe(-1);
    }
    await run("rm", id);
  }, 30_000);

  test("health follows HEALTHCHECK, each change with an event", async () => {
    const check = ["--health-cmd", "test -e /tmp/good", "--health-interval", "1s", "--health-retries", "1"];
    const id = await run("run", "-d", "--network", "jiji", ...check, labImage);
    await waitFor(async () => /starting|unhealthy/.test((await inspect(id)).health), {
      timeoutMs: 5_000,
      what: "a check",
    });
    await run("exec", id, "touch", "/tmp/good");
    await saw(id, /^health_status/);
    await waitFor(async () => (await inspect(id)).health === "healthy", { timeoutMs: 8_000, what: "healthy" });
    const seen = events.length;
    await run("exec", id, "rm", "/tmp/good");
    await waitFor(async () => (await inspect(id)).health === "unhealthy", { timeoutMs: 8_000, what: "unhealthy" });
    await waitFor(() => events.slice(seen).some((event) => "id" in event && event.action.startsWith("health_status")), {
      timeoutMs: 5_000,
      what: "an event of the change",
    });
    await run("rm", "-f", id);
  }, 40_000);

  test("labels of the image are told from labels that were given to the container", async () => {
    const id = await run("run", "-d", "--network", "jiji", "-l", "jiji.service=web", "labelled:latest");
    const container = await inspect(id);
    expect(container.labels).toMatchObject({ "jiji.project": "image", "jiji.service": "web", kept: "yes" });
    expect(container.imageLabels).toEqual({ state: "found", value: { "jiji.project": "image", kept: "yes" } });
    await run("rm", "-f", id);
  }, 20_000);

  test("leaving and joining the network are events of the container", async () => {
    const id = await run("run", "-d", "--network", "jiji", labImage);
    await run("network", "disconnect", "jiji", id);
    await waitFor(async () => (await listed()).length === 0, { timeoutMs: 5_000, what: "it to have left" });
    await run("network", "connect", "jiji", id);
    await waitFor(async () => (await listed())[0]?.networks["jiji"] !== null, { timeoutMs: 5_000, what: "an address" });
    await run("rm", "-f", id);
  }, 20_000);

  test("an engine that restarts breaks the stream off, is unknown meanwhile, and answers the same afterwards", async () => {
    const id = await run("create", "--network", "jiji", labImage);
    const [unit, socket] =
      kind === "docker" ? ["docker.service", "docker.socket"] : ["podman.service", "podman.socket"];
    await lab.exec(server, ["systemctl", "stop", socket, unit]);
    await waitFor(() => broken !== undefined, { timeoutMs: 15_000, what: "the stream to break off" });
    expect((await engine.containers("jiji")).state).toBe("unknown");
    expect((await engine.container(id)).state).toBe("unknown");
    await lab.exec(server, ["systemctl", "start", socket, ...(kind === "docker" ? [unit] : [])]);
    await listen();
    expect(await listed()).toMatchObject([{ id, state: "created" }]);
    await run("rm", id);
  }, 60_000);
});
