import { afterEach, describe, expect, test } from "bun:test";
import { finding } from "../../src/model/finding.ts";
import { ABSENT, found, unknown } from "../../src/model/reading.ts";
import { ConnectError } from "../../src/system/connection.ts";
import { FakeHost } from "../fake-host.ts";
import { commandWorld, deployFile, type CommandResult, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;

function start(...names: string[]): void {
  world = commandWorld(...names);
  world.write(".jiji/deploy.yml", deployFile(names));
}

afterEach(() => world.close());

async function setup(...more: string[]): Promise<CommandResult> {
  return world.run("network", "setup", "--corrosion-binary", world.corrosion, ...more);
}

describe("a first setup", () => {
  test("shows the plan, asks, sets up in two rounds and verifies", async () => {
    start("web1", "home", "db1");
    world.answer = true;
    const result = await setup();
    expect(result.code).toBe(0);
    expect(result.stdout).toMatchSnapshot();
    expect(result.stderr).toMatchSnapshot();
    expect(world.questions).toEqual(["Go ahead with 15 steps on 3 servers?"]);
    for (const server of Object.values(world.servers)) {
      expect(server.lockHolder).toBeUndefined();
      expect(server.staged.size).toBe(0);
      expect(server.members.members.length).toBe(3);
      expect(server.log.filter((line) => line.startsWith("apply"))).toEqual(["apply prepare", "apply join"]);
    }
  });

  test("a dry run changes nothing and takes its uploads back", async () => {
    start("web1", "home");
    const result = await setup("--dry-run");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("wg-quick@jiji0");
    for (const server of Object.values(world.servers)) {
      expect(server.log).not.toContain("apply prepare");
      expect(server.staged.size).toBe(0);
      expect(server.lockHolder).toBeUndefined();
    }
  });

  test("who says no changes nothing: exit 130", async () => {
    start("web1");
    world.answer = false;
    const result = await setup();
    expect(result.code).toBe(130);
    expect(result.stderr).toContain("error: nothing was changed");
    expect(world.servers["web1"]!.log).not.toContain("apply prepare");
    expect(world.servers["web1"]!.staged.size).toBe(0);
  });

  test("without a terminal nobody can be asked: exit 2 before any connection", async () => {
    start("web1");
    const result = await setup();
    expect(result.code).toBe(2);
    expect(result.stderr).toMatchInlineSnapshot(`
      "error: there is no terminal to ask for confirmation
      hint: give --yes to go ahead; --dry-run shows the plan
      "
    `);
    expect(world.servers["web1"]!.log).toEqual([]);
  });
});

describe("a later setup", () => {
  test("plans nothing, uploads nothing, and verifies", async () => {
    start("web1", "home");
    await setup("--yes");
    for (const server of Object.values(world.servers)) server.log.splice(0);
    const result = await setup("--json", "--yes");
    expect(result.code).toBe(0);
    expect((JSON.parse(result.stdout) as { servers: { steps: unknown[]; outcome: string }[] }).servers).toEqual([
      expect.objectContaining({ name: "home", outcome: "unchanged", steps: [], subnet: 0 }),
      expect.objectContaining({ name: "web1", outcome: "unchanged", steps: [], subnet: 1 }),
    ]);
    for (const server of Object.values(world.servers)) {
      expect(server.log).not.toContain("receive");
      expect(server.log.filter((line) => line.startsWith("apply"))).toEqual([]);
    }
  });

  test("keeps a Corrosion of the operator's own without being told again", async () => {
    start("web1", "home");
    await setup("--yes");
    const result = await world.run("network", "setup", "--yes");
    expect(result.code).toBe(0);
    expect(result.stderr).toContain("every server is as the file says");
  });

  test("a newcomer gets the lowest free number, and the others are told", async () => {
    start("web1", "home", "alpha");
    world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
    await setup("--yes");
    world.write(".jiji/deploy.yml", deployFile(["alpha", "web1", "home"]));
    const result = await setup("--yes");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("alpha  10.210.2.1  new, number 2");
    for (const server of Object.values(world.servers)) expect(server.members.members.length).toBe(3);
  });

  test("-H sets up the newcomer alone and still tells the members", async () => {
    start("web1", "home", "alpha");
    world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
    await setup("--yes");
    world.write(".jiji/deploy.yml", deployFile(["alpha", "web1", "home"]));
    const result = await setup("--yes", "-H", "alp*");
    expect(result.code).toBe(0);
    expect(result.stdout).toContain("only told of the others");
    expect(world.servers["web1"]!.members.members.length).toBe(3);
  });

  test("a name that the mesh keeps is said", async () => {
    start("web1");
    await setup("--yes");
    world.write(".jiji/deploy.yml", "project: shop\nservers: { frontend: { host: web1 } }\n");
    const result = await setup("--yes");
    expect(result.stderr).toContain("note: frontend is called web1 in the mesh; that name stays");
  });
});

describe("when not all is well", () => {
  test("one server that fails does not stop the others: exit 4", async () => {
    start("web1", "home", "db1");
    world.servers["home"]!.failures.set("apply join", { message: "nft is missing", hint: "apt install nftables" });
    const result = await setup("--yes");
    expect(result.code).toBe(4);
    expect(result.stderr).toContain("error: home: nft is missing\nhint: apt install nftables");
    expect(result.stdout).toMatch(/home +10\.210\.1\.1 +failed/);
    expect(result.stdout).toMatch(/web1 +10\.210\.2\.1 +done +5 +1\/1/);
  });

  test("a server that is away is skipped: exit 4, the others are done", async () => {
    start("web1", "home");
    world.servers["home"]!.refusal = new ConnectError(
      "unreachable",
      "it did not answer within 30 s",
      "check that it is up",
    );
    const result = await setup("--yes");
    expect(result.code).toBe(4);
    expect(result.stderr).toContain(
      "warning: home: it did not answer within 30 s; it is skipped\nhint: check that it is up",
    );
    expect(result.stdout).toMatch(/home +- +skipped/);
    expect(result.stdout).toMatch(/web1 +10\.210\.0\.1 +done/);
  });

  test("what does not work in the end is a finding of its own, each with its cure: exit 4", async () => {
    start("web1", "home");
    world.clock = new FakeHost().clock;
    world.servers["web1"]!.status = { wireguard: found({ peers: [] }), dns: unknown("refused") };
    const result = await setup("--yes", "--json");
    expect(result.code).toBe(4);
    const { servers } = JSON.parse(result.stdout) as { servers: { name: string; verify: { findings: object[] } }[] };
    expect(servers.find(({ name }) => name === "home")!.verify.findings).toEqual([]);
    expect(servers.find(({ name }) => name === "web1")!.verify.findings).toMatchObject([
      { code: "no-handshake", server: "web1", what: "no handshake with home yet" },
      { code: "dns-silent", server: "web1", evidence: "refused" },
    ]);
    expect(result.stderr).toContain("error: web1: no handshake with home yet\nhint: open 31820/udp towards home");
    expect(result.stderr).toContain("UDP or TCP: refused\nhint: journalctl -u jiji-dns -n 50");
  });

  test("none can be reached: exit 1", async () => {
    start("web1");
    world.servers["web1"]!.refusal = new ConnectError("unreachable", "nothing listens", "check sshd");
    const result = await setup("--yes");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("error: none of the servers can be reached");
  });

  test("a lock that somebody else holds: refused with the holder's name, nothing held, nothing left", async () => {
    start("web1", "home");
    world.servers["web1"]!.lockHolder = "bob@desk (process 7), jiji network setup";
    const result = await setup("--yes");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("error: web1: the lock is held by bob@desk (process 7), jiji network setup");
    expect(world.servers["home"]!.lockHolder).toBeUndefined();
    expect(world.servers["home"]!.staged.size).toBe(0);
  });

  // security-tests: server-output-is-data
  test("what a server says is shown escaped", async () => {
    start("web1");
    world.servers["web1"]!.failures.set("observe", { message: "\u001b[2Jboom\u202e\nerror: web2: fake", hint: "x\ny" });
    const result = await setup("--yes");
    expect(result.stderr).toContain("error: web1: \\u001b[2Jboom\\u202e\n    error: web2: fake\nhint: x\\ny\n");
  });

  test("interrupted: exit 130, locks and uploads are given back", async () => {
    start("web1", "home");
    world.answer = true;
    const { web1 } = world.servers;
    const end = web1!.connection.bind(web1);
    web1!.connection = () => {
      const connection = end();
      return {
        ...connection,
        start(script) {
          if (web1!.log.includes("locked")) world.interrupt.abort(new Error("interrupted"));
          return connection.start(script);
        },
      };
    };
    const result = await setup("--yes");
    expect(result.code).toBe(130);
    expect(result.stderr).toContain("error: interrupted");
    for (const server of Object.values(world.servers)) {
      expect(server.lockHolder).toBeUndefined();
      expect(server.staged.size).toBe(0);
    }
  });

  // security-tests: changed-byte
  test("an executable beside the CLI that was changed is not sent", async () => {
    start("web1");
    world.write("server/jiji-linux-x64.gz", "something else");
    const result = await setup("--yes");
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("FOLDER/server/jiji-linux-x64.gz is not the file of this release");
    expect(world.servers["web1"]!.log).not.toContain("receive");
  });
});

describe("bad input that is seen at the login", () => {
  const atLogin: Record<string, { change: () => void; says: string }> = {
    "a refused login": {
      change: () =>
        (world.servers["web1"]!.refusal = new ConnectError("refused", "it refused the login", "check ssh.user")),
      says: "error: web1: jiji cannot log in: it refused the login\nhint: check ssh.user",
    },
    "another host key": {
      change: () =>
        (world.servers["web1"]!.refusal = new ConnectError("host-key", "its host key is not known", "ssh web1")),
      says: "error: web1: jiji cannot log in: its host key is not known",
    },
    "no root and no sudo": {
      change: () => (world.servers["web1"]!.probe.privilege = "none"),
      says: "error: web1: the login is not root, and sudo asks for a password or is not there",
    },
    "a wrong architecture": {
      change: () => (world.servers["web1"]!.probe.machine = "riscv64"),
      says: "error: web1: jiji does not run on its processor: riscv64\nhint: use a server with x86_64 or aarch64",
    },
    "another system": {
      change: () => (world.servers["web1"]!.probe.system = "FreeBSD"),
      says: "error: web1: it does not run Linux: it runs FreeBSD",
    },
    "no systemd": {
      change: () => (world.servers["web1"]!.probe.systemd = false),
      says: "error: web1: it does not run systemd",
    },
    musl: {
      change: () => (world.servers["web1"]!.probe.libc = { kind: "musl", version: "1.2.4" }),
      says: "error: web1: it has no GNU C library: its C library is musl",
    },
    "an old glibc": {
      change: () => (world.servers["web1"]!.probe.libc = { kind: "glibc", version: "2.12" }),
      says: "error: web1: its glibc is 2.12; jiji needs 2.17 or newer",
    },
  };
  for (const [name, { change, says }] of Object.entries(atLogin)) {
    test(`${name}: exit 1 before anything is sent to any server`, async () => {
      start("web1", "home");
      change();
      const result = await setup("--yes");
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(says);
      expect(result.stderr).toContain("nothing was changed");
      expect([...world.servers["home"]!.log, ...world.servers["web1"]!.log]).toEqual([]);
    });
  }
});

describe("bad input that is seen by looking", () => {
  const bySight: Record<string, { change: () => void; says: string }> = {
    "an engine that is not there": {
      change: () => world.servers["web1"]!.change({ engines: { docker: ABSENT, podman: ABSENT } }),
      says: "error: web1: neither Docker nor Podman is installed",
    },
    "an engine that does not answer": {
      change: () => world.servers["web1"]!.change({ engines: { docker: unknown("no such socket"), podman: ABSENT } }),
      says: "error: web1: Docker does not answer: no such socket",
    },
    "an address range in use": {
      change: () => world.servers["web1"]!.change({ networks: [{ cidr: "10.0.0.0/8", what: "route via eth1" }] }),
      says: "error: web1: 10.0.0.0/8 is already in use by route via eth1 and overlaps cluster_cidr 10.210.0.0/16",
    },
    "port 31820 taken": {
      change: () =>
        world.servers["web1"]!.change({
          listeners: [{ protocol: "udp", address: "0.0.0.0", port: 31820, program: "nc (pid 77)" }],
        }),
      says: "error: web1: port 31820/udp is taken by nc (pid 77); WireGuard needs it: it listens on 0.0.0.0",
    },
    "port 53 taken": {
      change: () =>
        world.servers["web1"]!.change({
          listeners: [{ protocol: "tcp", address: "*", port: 53, program: "dnsmasq (pid 5)" }],
        }),
      says: "error: web1: port 53/tcp is taken by dnsmasq (pid 5); jiji-dns needs it: it listens on *",
    },
    "an identity that cannot be read": {
      change: () => world.servers["web1"]!.change({ identity: unknown("identity.json is malformed") }),
      says: "error: web1: /opt/jiji/identity.json cannot be read",
    },
    "an obstacle that the server itself names": {
      change: () =>
        world.servers["web1"]!.change({
          findings: [finding("network-taken", { engine: "docker", network: "jiji" })],
        }),
      says: "error: web1: docker has a network jiji that jiji did not make\nhint: remove it: docker network rm jiji",
    },
    "a newer release": {
      change: () => world.servers["web1"]!.change({ release: { jiji: found("99.0.0") } }),
      says: "error: web1: it runs jiji 99.0.0",
    },
  };
  for (const [name, { change, says }] of Object.entries(bySight)) {
    test(`${name}: exit 1, nothing changed anywhere, uploads taken back`, async () => {
      start("web1", "home");
      change();
      const result = await setup("--yes");
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(says);
      for (const server of Object.values(world.servers)) {
        expect(server.log.filter((line) => line.startsWith("apply"))).toEqual([]);
        expect(server.staged.size).toBe(0);
      }
    });
  }

  test("the findings of all servers are shown together", async () => {
    start("web1", "home");
    for (const server of Object.values(world.servers)) server.change({ engines: { docker: ABSENT, podman: ABSENT } });
    const result = await setup("--yes", "--json");
    expect((JSON.parse(result.stdout) as { findings: object[] }).findings).toEqual([
      expect.objectContaining({ server: "home", code: "no-engine" }),
      expect.objectContaining({ server: "web1", code: "no-engine" }),
    ]);
  });

  test("an unfit server can be left out with -H", async () => {
    start("web1", "home");
    world.servers["home"]!.change({ engines: { docker: ABSENT, podman: ABSENT } });
    const result = await setup("--yes", "-H", "web1");
    expect(result.code).toBe(0);
  });
});
