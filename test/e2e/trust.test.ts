import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildExecutable } from "../../tools/build.ts";
import { mustFindCorrosion } from "../../lab/corrosion-choice.ts";
import { startDetached } from "../../lab/detached.ts";
import { expectSuccess, jijiExecutable, writeDeployFile } from "../../lab/jiji.ts";
import { startLab, type Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/wait.ts";
import { PATHS } from "../../src/model/paths.ts";
import { FOOLING, Signer, TrustWorld } from "./trust-world.ts";

/**
 * What servers, their users, a repository and a file on the way may not do to each other and to the operator. Two servers;
 * "home" turns hostile at the end. The tests run in order.
 */
const NAMES = ["web1", "home"] as const;
const USERS = ["nobody", "jiji-dns", "jiji-corrosion"] as const;

let lab: Lab;
let world: TrustWorld;
let setup: readonly string[];
let watchLog: string;
let tampered: { readonly code: number; readonly stderr: string };

beforeAll(async () => {
  await buildExecutable({});
  const corrosion = await mustFindCorrosion();
  setup = ["network", "setup", "--yes", "--corrosion-binary", corrosion];
  lab = await startLab({
    servers: [
      { name: "web1", release: "trixie", engine: "docker" },
      { name: "home", release: "trixie", engine: "podman" },
    ],
  });
  world = new TrustWorld(lab);
  writeDeployFile(lab, { project: "shop" });
  for (const name of NAMES) await plantTraps(name);
  await runTampered();
  watchLog = join(lab.directory, "watch.log");
  const watch = join(import.meta.dir, "packet-tools", "watch.py");
  await startDetached(["python3", watch, watchLog], { log: `${watchLog}.err` });
  await waitFor(() => existsSync(watchLog), { timeoutMs: 10_000, what: "the watcher" });
  expectSuccess(await world.jiji([...setup, "-v"]), "setup");
}, 600_000);

afterAll(async () => {
  await lab?.down();
});

/** What would make a program of Bun's run something else, in every place where jiji might be started. */
async function plantTraps(server: string): Promise<void> {
  const evil = 'require("node:fs").writeFileSync("/tmp/sprung", "")';
  const script = `for f in / /root/; do
    printf 'preload = ["%sevil.ts"]\\n' "$f" > "$f"bunfig.toml; printf '%s\\n' "$0" > "$f"evil.ts
    printf 'BUN_BE_BUN=1\\nBUN_OPTIONS=--preload=/evil.ts\\n' > "$f".env; done
    printf 'BUN_BE_BUN=1\\nBUN_OPTIONS="--preload=/evil.ts"\\n' >> /etc/environment`;
  await world.must(server, "sh", "-c", script, evil);
}

/** Runs a copy of the CLI with one byte changed in what lies beside it for servers. */
async function runTampered(): Promise<void> {
  const folder = join(lab.operator.home, "tampered");
  mkdirSync(folder);
  const dist = join(jijiExecutable(), "..");
  cpSync(jijiExecutable(), join(folder, "jiji"));
  cpSync(join(dist, "server"), join(folder, "server"), { recursive: true });
  const packed = readdirSync(join(folder, "server")).find((name) => /x64.*gz/.test(name)) ?? "";
  const content = readFileSync(join(folder, "server", packed));
  content[content.length >> 1] = (content[content.length >> 1] ?? 0) ^ 1;
  writeFileSync(join(folder, "server", packed), content);
  tampered = await lab.operatorExec([join(folder, "jiji"), ...setup], { timeoutMs: 60_000 });
}

// security-tests: changed-byte
test("one changed byte beside the CLI: exit 1, and nothing of it reaches a server", async () => {
  expect(tampered.code).toBe(1);
  expect(tampered.stderr).toContain("error: ");
});

// security-tests: nothing-run-from-folder
test("nothing that lies in a folder or in an environment is run", async () => {
  for (const name of NAMES) expect((await lab.exec(name, ["test", "-e", "/tmp/sprung"])).code).toBe(1);
});

describe("keys and tokens", () => {
  // security-tests: secrets-stay
  test("stand in their own files on their own server, and nowhere else", async () => {
    const secrets = await Promise.all(NAMES.map((name) => world.secretsOf(name)));
    const all = secrets.flat();
    expect(new Set(all).size).toBe(6);
    for (const name of NAMES) {
      const files = [PATHS.wireguardKey, PATHS.identity, PATHS.corrosionToken, PATHS.corrosionConfig].toSorted();
      expect((await world.filesWith(name, "root", all)).toSorted()).toEqual(files);
      for (const user of ["nobody", "jiji-dns"]) expect(await world.filesWith(name, user, all)).toEqual([]);
      const own = await world.filesWith(name, "jiji-corrosion", all);
      expect(own.toSorted()).toEqual([PATHS.corrosionConfig, PATHS.corrosionToken]);
    }
  }, 60_000);

  // security-tests: secrets-stay
  test("are in no plan, --json, log, command line, environment or file of the operator", async () => {
    await world.must("web1", "sh", "-c", `echo "# changed by hand" >> ${PATHS.corrosionConfig}`);
    const dry = await world.jiji([...setup, "--dry-run", "-v"]);
    expect(dry.stdout).toContain(PATHS.corrosionConfig);
    expectSuccess(await world.jiji([...setup, "--json"]), "setup");
    for (const command of ["status", "dns"]) await world.jiji(["network", command, "--json", "-v"]);
    const secrets = (await Promise.all(NAMES.map((name) => world.secretsOf(name)))).flat();
    const watched = readFileSync(watchLog, "latin1");
    expect(watched).toContain("jiji node apply");
    const journals = await Promise.all(NAMES.map((name) => world.must(name, "journalctl", "--no-pager", "-o", "cat")));
    const places = { said: world.said, watched, journals: journals.join("\n") };
    for (const [place, text] of Object.entries(places)) {
      expect([place, secrets.filter((secret) => text.includes(secret)).length]).toEqual([place, 0]);
    }
    const home = await lab.operatorExec(["grep", "-rslF", "-f", "-", lab.operator.home, "/tmp"], {
      input: `${secrets.join("\n")}\n`,
    });
    expect(home.stdout).toBe("");
  }, 120_000);
});

describe("a local user", () => {
  // security-tests: run-jiji-is-roots
  test.each(USERS)("%s can neither take, replace nor read the lock, nor write to /run/jiji", async (user) => {
    const look = (): Promise<string> => world.must("web1", "stat", "-c", "%n %i %a %U:%G", PATHS.run, PATHS.lock);
    const before = await look();
    expect(before).toMatch(/^\/run\/jiji \d+ 755 root:root\n\/run\/jiji\/lock \d+ 600 root:root$/);
    for (const attempt of [
      ["flock", "-n", PATHS.lock, "true"],
      ["rm", "-f", PATHS.lock],
      ["ln", "-sfn", "/tmp/mine", PATHS.lock],
      ["mv", PATHS.lock, "/tmp/mine"],
      ["mv", PATHS.run, "/tmp/mine"],
      ["cat", PATHS.lock],
      ["mkdir", `${PATHS.run}/mine`],
      ["sh", "-c", `: > ${PATHS.lock}`],
      ["sh", "-c", `: > ${PATHS.run}/mine`],
      ["flock", "-n", PATHS.membersLock, "true"],
      ["rm", "-f", PATHS.membersLock],
    ]) {
      const result = await world.as("web1", user, attempt);
      expect([attempt.join(" "), result.code === 0]).toEqual([attempt.join(" "), false]);
    }
    expect(await look()).toBe(before);
  });

  // security-tests: run-jiji-is-roots
  test("the lock works meanwhile: who holds it is named", async () => {
    const hold = ["systemd-run", "--collect", "--unit=hold", "flock", PATHS.lock, "sleep", "60"];
    await world.must("web1", ...hold);
    await waitFor(async () => (await lab.exec("web1", ["flock", "-n", PATHS.lock, "true"])).code !== 0, {
      timeoutMs: 5_000,
      what: "the lock to be held",
    });
    const refused = await world.jiji(setup);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/web1.*lock|lock.*web1/);
    await world.must("web1", "systemctl", "stop", "hold");
  }, 60_000);

  // security-tests: agent-sockets
  test.each(["nobody", "jiji-corrosion"])("%s reaches no socket of the agent", async (user) => {
    for (const socket of [PATHS.agentSocket, PATHS.storeRelaySocket]) {
      expect((await world.as("web1", user, ["curl", "-s", "-m", "2", "--unix-socket", socket, "http://x/"])).code).toBe(
        7,
      );
    }
  });

  // security-tests: dns-cannot-write
  test("jiji-dns cannot write the store: no token, and its way to it lets one thing through", async () => {
    const ask = async (...where: readonly string[]): Promise<string> => {
      const head = ["curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}"];
      const json = ["-H", "content-type: application/json"];
      return (await world.as("web1", "jiji-dns", [...head, ...json, ...where])).stdout;
    };
    const relay = ["--unix-socket", PATHS.storeRelaySocket];
    const write = JSON.stringify([["DELETE FROM containers"]]);
    expect(await ask("-d", write, "http://127.0.0.1:31220/v1/transactions")).toBe("401");
    expect(await ask(...relay, "-d", write, "http://x/v1/transactions")).toBe("403");
    expect(await ask(...relay, "-d", '"SELECT 1"', "http://x/v1/queries")).toBe("403");
    expect(await ask(...relay, "-d", '"SELECT id, body FROM servers"', "http://x/v1/subscriptions")).toBe("403");
    const pid = await world.must("web1", "systemctl", "show", "-p", "MainPID", "--value", "jiji-dns");
    const state = await world.must("web1", "cat", `/proc/${pid}/status`);
    expect(state).toMatch(/^CapEff:\t0+$/m);
    expect(state).toMatch(/^NoNewPrivs:\t1$/m);
    const files = await world.must("web1", "sh", "-c", `ls -l /proc/${pid}/fd`);
    expect(files).not.toMatch(/corrosion|token|identity|wireguard/);
  }, 30_000);
});

// security-tests: host-network-containers
test("containers on a server's own network count as the server, and status names them", async () => {
  const hosted = ["run", "-d", "--network", "host", "--name", "hosted", "jiji-lab:latest", "sleep", "1000"];
  await world.must("web1", "docker", ...hosted);
  await world.must("home", "podman", ...hosted);
  const status = expectSuccess(await world.jiji(["network", "status"]), "status");
  for (const name of NAMES)
    expect(status.stdout).toMatch(new RegExp(`^${name}  on this server.s own network.*: hosted$`, "m"));
  await world.must("web1", "docker", "rm", "-f", "hosted");
  await world.must("home", "podman", "rm", "-f", "hosted");
}, 60_000);

describe("ssh", () => {
  const file = (...parts: readonly string[]): string => join(lab.operator.home, ...parts);
  let environment: Record<string, string>;

  /** An operator whose own configuration asks for everything that jiji must not do, behind a jump host. */
  beforeAll(async () => {
    const known =
      "printf '%s\\n' \"seen ${SSH_AUTH_SOCK:+agent} $(ss -Hltn sport = :4444 | wc -l)\" >> /tmp/sshrc-saw\n";
    for (const name of NAMES) {
      expectSuccess(await lab.exec(name, ["sh", "-c", "cat > /etc/ssh/sshrc"], { input: known }), "sshrc");
    }
    writeFileSync(
      file(".ssh", "careless"),
      [
        "Host *",
        "  ForwardAgent yes",
        "  ForwardX11 yes",
        "  PermitLocalCommand yes",
        `  LocalCommand touch ${file("local-command")}`,
        "  RemoteForward 127.0.0.1:4444 127.0.0.1:22",
        "  StrictHostKeyChecking no",
        `Include ${lab.operator.sshConfig}`,
        "",
      ].join("\n"),
    );
    mkdirSync(file("bin"));
    const record = `#!/bin/sh\nlog=${file("bin")}/$$\nfor word in "$@"; do printf '%s\\n' "$word"; case "$word" in
ControlPath=*) stat -c 'folder %a %u' "$(dirname "\${word#ControlPath=}")";; esac; done > "$log"\nexec /usr/bin/ssh "$@"\n`;
    writeFileSync(file("bin", "ssh"), record);
    chmodSync(file("bin", "ssh"), 0o755);
    await lab.operatorExec(["ssh-agent", "-a", file("agent.sock")]);
    environment = { PATH: `${file("bin")}:${process.env["PATH"] ?? ""}`, SSH_AUTH_SOCK: file("agent.sock") };
    const endpoint = (name: string): string => `${lab.servers.find((server) => server.name === name)?.address}:31820`;
    writeDeployFile(lab, {
      project: "shop",
      folder: file("careless"),
      ssh: { config: file(".ssh", "careless"), proxy: "root@web1" },
      entries: { web1: { endpoint: endpoint("web1") }, home: { endpoint: endpoint("home") } },
    });
  });

  const saw = async (): Promise<string[]> => {
    const lines: string[] = [];
    for (const name of NAMES) {
      const text = await lab.exec(name, ["sh", "-c", "cat /tmp/sshrc-saw; rm -f /tmp/sshrc-saw"]);
      lines.push(...text.stdout.split("\n").filter((line) => line !== ""));
    }
    return lines;
  };

  // security-tests: ssh-options
  test("by itself would forward the agent, a port, and run a command here", async () => {
    const ssh = ["ssh", "-F", file(".ssh", "careless"), "home", "true"];
    expectSuccess(await lab.operatorExec(ssh, { env: { SSH_AUTH_SOCK: file("agent.sock") } }), "ssh");
    expect(await saw()).toEqual(["seen agent 1"]);
    expect(existsSync(file("local-command"))).toBe(true);
    await lab.operatorExec(["rm", file("local-command")]);
  }, 30_000);

  // security-tests: ssh-options
  test("gives servers and jump hosts nothing of the operator's machine", async () => {
    expectSuccess(await world.jiji(["network", "status"], { folder: file("careless"), env: environment }), "status");
    const lines = await saw();
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect([...new Set(lines)]).toEqual(["seen  0"]);
    expect(existsSync(file("local-command"))).toBe(false);
  }, 30_000);

  // security-tests: ssh-arguments
  test("is called with its options before `--`, the host after it, and sockets in a folder of one's own", () => {
    const calls = readdirSync(file("bin"))
      .filter((name) => name !== "ssh")
      .map((name) => readFileSync(file("bin", name), "utf8").trimEnd().split("\n"));
    expect(calls.length).toBeGreaterThanOrEqual(2);
    for (const words of calls) {
      const dashes = words.indexOf("--");
      expect(NAMES).toContain(words[dashes + 1] as never);
      for (const option of [
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "StrictHostKeyChecking=yes",
      ]) {
        expect(words.slice(0, dashes)).toContain(option);
      }
      const sockets = words.filter((word) => word.startsWith("ControlPath="));
      expect(words.filter((word) => word.startsWith("folder "))).toEqual(sockets.map(() => "folder 700 0"));
    }
    expect(calls.flat()).toContain("folder 700 0");
  });

  // security-tests: ssh-options
  test.each([["home"], ["web1"]])(
    "refuses a host key of %s that is not known, whatever the configuration says",
    async (name) => {
      const known = readFileSync(file(".ssh", "known_hosts"), "utf8");
      writeFileSync(
        file(".ssh", "known_hosts"),
        known
          .split("\n")
          .filter((line) => !line.startsWith(`${name},`))
          .join("\n"),
      );
      const status = await world.jiji(["network", "status"], { folder: file("careless"), env: environment });
      expect(status.code).toBe(5);
      expect(status.stdout).toContain("its host key is not known");
      writeFileSync(file(".ssh", "known_hosts"), known);
    },
    60_000,
  );
});

describe("a hostile member", () => {
  const SERVER =
    "INSERT INTO servers (id, record, sig) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record, sig = excluded.sig";
  const REMOVED =
    "INSERT INTO removed_servers (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record";
  const trap = "\nPostUp = touch /tmp/pwned\n[Peer]\nAllowedIPs = 0.0.0.0/0";
  let rows: readonly (readonly [id: string, record: string, sig: string])[];
  let before: string;

  /** All that web1 knows of its peers, in files and in the kernel. */
  const tunnelOf = (server: string): Promise<string> =>
    world.must(
      server,
      ...[
        "sh",
        "-c",
        `cat ${PATHS.members} ${PATHS.wireguardConfig}; wg show jiji0 allowed-ips; ip route show dev jiji0`,
      ],
    );
  const idOf = async (server: string): Promise<string> =>
    Signer.from(await world.must(server, "cat", PATHS.identity)).id;
  const journal = (server: string): Promise<string> =>
    world.must(server, "journalctl", "-u", "jiji-agent", "-o", "cat", "--no-pager");

  beforeAll(async () => {
    before = await tunnelOf("web1");
    const home = Signer.from(await world.must("home", "cat", PATHS.identity));
    const web1 = Signer.from(await world.must("web1", "cat", PATHS.identity));
    const web1Key = await world.must("web1", "wg", "show", "jiji0", "public-key");
    const fresh = (): Signer => Signer.fresh();
    rows = [
      [fresh().id, fresh().row({ name: `evil${trap}` })[1], ""],
      fresh().row({ name: `evil${trap}` }),
      fresh().row({ endpoints: [`198.51.100.99:31820${trap}`] }),
      fresh().row({ publicKey: `${web1Key}${trap}` }),
      fresh().row({ version: `0.1.0${trap}` }),
      fresh().row({ subnet: 0 }),
      fresh().row({ subnet: 1 }),
      fresh().row({ publicKey: web1Key }),
      home.row({ name: "web1", subnet: 1, idKey: web1.idKey }, web1.id),
      home.row({ name: "home", subnet: 0, endpoints: [`198.51.100.99:31820${trap}`] }),
    ];
    await world.must("home", "systemctl", "stop", "jiji-agent");
    const removed = [await idOf("web1"), await idOf("home")].map((id) => [
      REMOVED,
      [id, `{"name":"x${trap.replaceAll("\n", "\\n")}"}`],
    ]);
    await world.store("home", "transactions", [...rows.map((row) => [SERVER, row]), ...removed]);
    const count = "SELECT (SELECT count(*) FROM servers) + (SELECT count(*) FROM removed_servers)";
    await waitFor(async () => (await world.store("web1", "queries", count)).includes("[12]"), {
      timeoutMs: 30_000,
      what: "web1's store to have the forged rows",
      intervalMs: 200,
    });
  }, 60_000);

  // security-tests: no-config-text, no-member-for-another
  test("is not believed: each forged row is reported once, and changes nothing", async () => {
    const forged = [...new Set(rows.map(([id]) => id))].filter((id) => id !== rows[8]?.[0]);
    for (const id of forged) {
      await waitFor(async () => (await journal("web1")).includes(`row of ${id} is not believed`), {
        timeoutMs: 30_000,
        what: `web1's agent to report ${id}`,
        intervalMs: 300,
      });
    }
    for (let look = 0; look < 3; look++) await world.must("web1", "touch", PATHS.members);
    await world.must("web1", "systemctl", "start", "jiji-repair");
    const lines = (await journal("web1")).split("\n").filter((line) => line.includes("is not believed"));
    expect(lines.map((line) => /row of ([0-9a-f]{32}) /.exec(line)?.[1] ?? "").toSorted()).toEqual(forged.toSorted());
    expect(await tunnelOf("web1")).toBe(before);
  }, 60_000);

  // security-tests: no-config-text
  test("has nothing run on another server, also when the tunnel and the agent start anew", async () => {
    await world.must("web1", "systemctl", "restart", "wg-quick@jiji0", "jiji-agent", "jiji-dns");
    await waitFor(async () => (await journal("web1")).split("agent: started").length > 2, {
      timeoutMs: 20_000,
      what: "web1's agent to start",
    });
    expect((await lab.exec("web1", ["test", "-e", "/tmp/pwned"])).code).toBe(1);
    expect(await tunnelOf("web1")).toBe(before);
  }, 60_000);

  // security-tests: store-removes-nobody
  test("from the store alone removes nobody, least of all the server itself", async () => {
    expect(await world.store("web1", "queries", "SELECT count(*) FROM removed_servers")).toContain("[2]");
    const members = JSON.parse(await world.must("web1", "cat", PATHS.members)) as {
      members: unknown[];
      removed: unknown[];
    };
    expect([members.members.length, members.removed.length]).toEqual([2, 0]);
    expect((await world.must("web1", "wg", "show", "jiji0", "peers")).split("\n")).toHaveLength(1);
  });

  // security-tests: joins-are-seen
  test("can admit a newcomer, and status says so", async () => {
    const newcomer = Signer.fresh();
    await world.store("home", "transactions", [[SERVER, newcomer.row({})]]);
    await waitFor(async () => (await world.must("web1", "cat", PATHS.members)).includes(newcomer.id), {
      timeoutMs: 20_000,
      what: "web1 to learn the newcomer",
    });
    const status = await world.jiji(["network", "status"]);
    expect(status.stdout).toMatch(/note: a member that is not in this file: newcomer \(number 77, 20\d\d-.* UTC\)/);
  }, 40_000);

  // security-tests: no-config-text
  test("that lies in its own files has no member planned in another place, and no line in anybody's plan", async () => {
    const members = JSON.parse(await world.must("home", "cat", PATHS.members)) as { members: unknown[] };
    const lies = {
      ...members,
      members: [...members.members, ...rows.map(([id, record, sig]) => ({ id, record, sig }))],
    };
    expectSuccess(
      await lab.exec("home", ["sh", "-c", `cat > ${PATHS.members}`], { input: JSON.stringify(lies) }),
      "lies",
    );
    const result = await world.jiji([...setup, "--dry-run", "-v"]);
    expect(result.stdout + result.stderr).not.toMatch(/evil|pwned/);
    expect(FOOLING.test(result.stdout + result.stderr)).toBe(false);
  }, 60_000);

  // security-tests: server-output-is-data
  test("that says what a terminal would act on, or never stops, is shown escaped and left", async () => {
    const answer = async (script: string): Promise<{ code: number; shown: string }> => {
      const text = `#!/bin/sh\n${script}\n`;
      const put = [
        "sh",
        "-c",
        `cat > /opt/jiji/bin/fake && chmod 755 /opt/jiji/bin/fake && mv /opt/jiji/bin/fake ${PATHS.executable}`,
      ];
      expectSuccess(await lab.exec("home", put, { input: text }), "fake");
      const [people, json] = [
        await world.jiji(["network", "status"]),
        await world.jiji(["network", "status", "--json"]),
      ];
      return { code: people.code, shown: people.stdout + people.stderr + json.stdout + json.stderr };
    };
    const fooling = JSON.stringify({ type: "failed", message: "a\u001B[2J\u202Eb\nerror: web1: c\u009B\u0007" });
    const said = await answer(`printf '%s\\n' '${fooling}'`);
    expect(said.code).toBe(5);
    expect(said.shown).toContain("a\\u001b[2J\\u202eb\n    error: web1: c\\u009b\\u0007\n");
    const raw = await answer("printf 'x\\033[31m\\342\\200\\256y\\n'; printf '\\033[31mz\\n' >&2; exit 1");
    const begin = performance.now();
    const endless = await answer("head -c 3000000 /dev/zero | tr '\\0' x; sleep 600");
    expect(performance.now() - begin).toBeLessThan(40_000);
    expect(endless.shown).toContain("a line of more than 1 MB came back");
    for (const { code, shown } of [said, raw, endless]) {
      expect(code).toBe(5);
      expect(FOOLING.exec(shown)).toBeNull();
    }
  }, 120_000);
});
