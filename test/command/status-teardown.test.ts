import { afterEach, describe, expect, test } from "bun:test";
import { finding } from "../../src/model/finding.ts";
import { found, unknown } from "../../src/model/reading.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;

async function startMesh(...names: string[]): Promise<void> {
  world = commandWorld(...names);
  world.write(".jiji/deploy.yml", deployFile(names));
  const result = await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion);
  expect(result.code).toBe(0);
}

afterEach(() => world.close());

describe("status", () => {
  test("all healthy: exit 0", async () => {
    await startMesh("web1", "home");
    const result = await world.run("network", "status");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchSnapshot();
    expect(result.stdout).not.toContain("\u001b");
  });

  test("each kind of trouble is named: exit 5", async () => {
    await startMesh("away", "blind", "fresh", "mute");
    world.servers["away"]!.refusal = new ConnectError(
      "unreachable",
      "it did not answer within 30 s",
      "check that it is up",
    );
    world.servers["blind"]!.status = { dns: unknown("no answer within 1 s"), store: unknown("connection refused") };
    world.servers["fresh"]!.probe.spec = "";
    world.servers["mute"]!.status = {
      findings: [finding("unit-down", { unit: "jiji-agent.service", state: "failed" })],
    };
    const result = await world.run("network", "status");
    expect(result.code).toBe(5);
    expect(result.stdout).toMatchSnapshot();
  });

  test("a handshake that is old or never was", async () => {
    await startMesh("web1", "home", "db1");
    const ids = world.servers["web1"]!.members.members.map(({ id }) => id);
    const peer = { endpoint: null, receivedBytes: 0, sentBytes: 0 };
    world.servers["web1"]!.status = {
      wireguard: found({
        peers: ids.map((id, index) => ({
          ...peer,
          id,
          name: `m${index}`,
          handshakeAgeSeconds: index === 0 ? null : 4000,
        })),
      }),
    };
    const result = await world.run("network", "status", "--json");
    const shown = JSON.parse(result.stdout) as { servers: { name: string; findings: { what: string }[] }[] };
    const { findings } = shown.servers.find(({ name }) => name === "web1")!;
    const seen = findings.map(({ what }) => what);
    expect(seen).toContain("no handshake with db1 yet");
    expect(seen).toContain("the last handshake with home is 4000 s old");
  });

  test("a warning is shown with its cure, and the server is healthy: exit 0", async () => {
    await startMesh("web1");
    world.servers["web1"]!.status = { findings: [finding("host-network", { containers: "proxy" })] };
    const result = await world.run("network", "status");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain(
      "web1  on this server's own network, where nothing tells them from it: proxy\n  hint: run",
    );
  });

  test("two servers behind NAT never have a tunnel to each other: exit 0", async () => {
    await startMesh("web1", "home");
    for (const server of Object.values(world.servers)) {
      const other = server.members.members.at(-1);
      if (other === undefined) throw new Error("no members");
      const never = { endpoint: null, receivedBytes: 0, sentBytes: 0, handshakeAgeSeconds: null };
      // what a server says of itself is the verdict: it knows who cannot be called
      server.status = { wireguard: found({ peers: [{ ...never, id: other.id, name: "other" }] }), findings: [] };
    }
    const result = await world.run("network", "status");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("0/1");
  });

  test("--json has one entry per server, the unreachable ones included", async () => {
    await startMesh("web1", "home");
    world.servers["home"]!.refusal = new ConnectError("unreachable", "gone", "look");
    const { stdout, code } = await world.run("network", "status", "--json");
    expect(code).toBe(5);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      exitCode: 5,
      project: "shop",
      servers: [
        { name: "web1", state: "healthy", address: "10.210.1.1", findings: [], status: { version: "0.1.0" } },
        {
          name: "home",
          state: "unreachable",
          address: null,
          findings: [{ code: "unreachable", server: "home", evidence: "gone", cure: "look" }],
          status: null,
        },
      ],
    });
  });
});

describe("teardown", () => {
  test("shows the plan, asks, and takes all down", async () => {
    await startMesh("web1", "home");
    world.answer = true;
    const result = await world.run("network", "teardown");
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchSnapshot();
    expect(world.questions.at(-1)).toContain("Take the network down with 4 steps on 2 servers?");
    for (const server of Object.values(world.servers)) {
      expect(server.facts.identity.state).toBe("absent");
      expect(server.lockHolder).toBeUndefined();
    }
    const again = await world.run("network", "teardown", "--yes");
    expect(again.code).toBe(0);
    expect(again.stderr).toContain("nothing of jiji is on web1");
  });

  test("who says no keeps everything", async () => {
    await startMesh("web1");
    world.answer = false;
    expect((await world.run("network", "teardown")).code).toBe(130);
    expect(world.servers["web1"]!.facts.identity.state).toBe("found");
  });

  test("without a terminal: exit 2; a dry run needs none", async () => {
    await startMesh("web1");
    expect((await world.run("network", "teardown")).code).toBe(2);
    const dry = await world.run("network", "teardown", "--dry-run");
    expect(dry.code).toBe(0);
    expect(dry.stdout).toContain("wg-quick@jiji0.service");
    expect(world.servers["web1"]!.facts.identity.state).toBe("found");
  });

  test("a server that is away is skipped, one that fails is named: exit 4", async () => {
    await startMesh("web1", "home", "db1");
    world.servers["home"]!.refusal = new ConnectError("unreachable", "gone", "look");
    world.servers["db1"]!.failures.set("apply teardown", { message: "the manifest is malformed" });
    const result = await world.run("network", "teardown", "--yes");
    expect(result.code).toBe(4);
    expect(result.stderr).toContain("error: db1: the manifest is malformed");
    expect(result.stdout).toMatch(/home +skipped/);
    expect(result.stdout).toMatch(/web1 +done/);
  });
});
