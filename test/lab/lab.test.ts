// The lab itself: what every end-to-end test relies on. Needs root; the first run makes base images.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, openLab, startLab } from "../../lab/lab.ts";
import { mustRun } from "../../tools/run.ts";
import { findRemains, removeAbandonedLabs } from "../../lab/remove-lab.ts";
import { diffSnapshots, snapshotServer } from "../../lab/snapshot.ts";
import { waitFor } from "../../lab/wait.ts";

// Others may be using the machine; a state that never comes has a limit of its own.
setDefaultTimeout(120_000);

const labFile = join(import.meta.dir, "../../lab/lab.ts");
const isRoot = process.platform === "linux" && process.getuid?.() === 0;
const newId = () => `t${crypto.randomUUID().slice(0, 8)}`;

/** Everything on the machine that bears a text in its name, looked up by other ways than the lab's own. */
function traces(text: string): string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const processes = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid);
  const commandLines = processes.map((pid) => {
    try {
      // A zombie is nothing but a number; whoever inherited it has not looked yet.
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return "";
      return `${readFileSync(`/proc/${pid}/cmdline`, "utf8")} ${readFileSync(`/proc/${pid}/cgroup`, "utf8")}`;
    } catch {
      return "";
    }
  });
  const files = [
    "/run",
    "/run/netns",
    "/run/systemd/nspawn/propagate",
    "/etc/netns",
    "/var/tmp/jiji-lab",
    "/tmp",
  ].flatMap((folder) => {
    try {
      return readdirSync(folder).map((name) => join(folder, name));
    } catch {
      return [];
    }
  });
  return [...mounts, ...commandLines, ...files].filter((line) => line.includes(text));
}

/** Runs a program that starts a lab in a process of its own; resolves with the process when it has printed "up". */
async function startElsewhere(id: string, then: string) {
  const request = JSON.stringify({ id, servers: [{ name: "web1", release: "trixie", engine: "none" }] });
  const program = `import { startLab } from ${JSON.stringify(labFile)};
    await startLab(${request}); console.log("up"); ${then}`;
  const child = Bun.spawn([process.execPath, "--no-env-file", "-e", program], { stdout: "pipe", stderr: "pipe" });
  const first = await child.stdout.getReader().read();
  if (first.done) throw new Error(await new Response(child.stderr).text());
  return child;
}

describe.skipIf(!isRoot)("lab", () => {
  const id = newId();
  let lab: Lab;
  let upMs = 0;
  const out = async (server: string, ...argv: string[]) => {
    const result = await lab.exec(server, argv);
    if (result.code !== 0) throw new Error(`${server}: ${argv.join(" ")}: exit ${result.code}: ${result.stderr}`);
    return result.stdout.trim();
  };
  const ping = async (from: string, address: string) =>
    (await lab.exec(from, ["ping", "-c", "1", "-W", "1", address])).code === 0;
  const ssh = async (...argv: string[]) => await lab.operatorExec(["ssh", "-F", lab.operator.sshConfig, ...argv]);

  beforeAll(async () => {
    const started = performance.now();
    lab = await startLab({
      id,
      servers: [
        { name: "web1", release: "trixie", engine: "docker" },
        { name: "home", release: "trixie", engine: "podman" },
      ],
    });
    upMs = performance.now() - started;
  }, 300_000);
  afterAll(async () => await lab?.down());

  test("servers have the addresses, engines and files of a real one", async () => {
    expect(lab.servers.map(({ name, address }) => [name, address])).toEqual([
      ["web1", "198.51.100.11"],
      ["home", "198.51.100.12"],
    ]);
    expect(await out("web1", "docker", "version", "--format", "{{.Server.Version}}")).toMatch(/^26\./);
    expect((await lab.exec("web1", ["podman", "--version"])).code).toBe(127);
    expect(await out("home", "podman", "version", "--format", "{{.Client.Version}}")).toMatch(/^5\./);
    expect((await lab.exec("home", ["systemctl", "is-enabled", "podman.socket"])).stdout.trim()).toBe("disabled");
    expect(await out("home", "cat", "/etc/resolv.conf")).toBe("nameserver 198.51.100.254");
  });

  test("exec: input, environment, exit code, time limit, and nothing of the caller's environment", async () => {
    const result = await lab.exec("web1", ["sh", "-c", 'cat; echo "$X"; pwd; exit 7'], {
      input: "in\n",
      env: { X: "y" },
    });
    expect(result).toEqual({ code: 7, stdout: "in\ny\n/root\n", stderr: "" });
    const names = (await out("web1", "env")).split("\n").map((line) => line.split("=")[0]);
    expect(names.toSorted((a, b) => (String(a) < String(b) ? -1 : 1))).toEqual([
      "HOME",
      "LANG",
      "PATH",
      "TERM",
      "USER",
    ]);
    await expect(lab.exec("web1", ["sleep", "77"], { timeoutMs: 100 })).rejects.toThrow("did not end within 100 ms");
    expect(await out("web1", "ps", "-eo", "args")).not.toContain("sleep 77");
  });

  test("the operator logs in by ssh as each user, with host keys checked", async () => {
    expect((await ssh("web1", "id -un; hostname")).stdout).toBe("root\nweb1\n");
    expect((await ssh("-l", "deploy", "home", "sudo -n id -un")).stdout).toBe("root\n");
    expect((await ssh("-l", "plain", "home", "sudo -n id -un")).code).not.toBe(0);
    const stranger = await ssh("-o", "UserKnownHostsFile=/dev/null", "web1", "true");
    expect(stranger.stderr).toContain("Host key verification failed");
    // OpenSSH's own places work as well: the configuration is where a user's would be.
    expect((await lab.operatorExec(["ssh", "web1", "hostname"])).stdout).toBe("web1\n");
  });

  test("the servers' upstream resolver answers, over UDP and TCP", async () => {
    const dig = (...argv: string[]) => out("web1", "dig", "+short", "+time=2", "+tries=1", ...argv);
    expect(await dig("example.com")).toBe("192.0.2.80");
    expect(await dig("+tcp", "example.com")).toBe("192.0.2.80");
    expect(await dig("home.lab.example")).toBe("198.51.100.12");
    expect((await dig("large.example.com", "TXT")).length).toBeGreaterThan(3000);
    expect(await out("web1", "dig", "+noedns", "nothing.example.org")).toContain("status: NXDOMAIN");
  });

  test("engines run containers of the lab's image", async () => {
    const fetch = ["run", "--rm", "jiji-lab:latest", "nslookup", "example.com"];
    expect(await out("web1", "docker", ...fetch)).toContain("192.0.2.80");
    expect(await out("home", "podman", ...fetch)).toContain("192.0.2.80");
  });

  test("two snapshots of an untouched server are equal; a change shows, and is gone when undone", async () => {
    const before = await snapshotServer(lab, "home");
    expect(diffSnapshots(before, await snapshotServer(lab, "home"))).toEqual([]);
    await out("home", "sh", "-c", "nft add table inet jiji && ip route add unreachable 10.210.0.0/16 && touch /opt/x");
    const changed = diffSnapshots(before, await snapshotServer(lab, "home"));
    expect(changed.map((line) => line.split(":")[0] ?? "").toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      "+ files",
      "+ nftables",
      "+ routes",
    ]);
    await out("home", "sh", "-c", "nft delete table inet jiji && ip route del unreachable 10.210.0.0/16 && rm /opt/x");
    expect(diffSnapshots(before, await snapshotServer(lab, "home"))).toEqual([]);
  });

  test("WireGuard by wg-quick's own unit, cut and heal", async () => {
    const keys: Record<string, string> = {};
    for (const { name } of lab.servers) {
      await out(name, "sh", "-c", "umask 077; wg genkey >/etc/wireguard/key");
      keys[name] = await out(name, "sh", "-c", "wg pubkey </etc/wireguard/key");
    }
    for (const [name, own, peer, address] of [
      ["web1", "10.9.0.1", "home", "198.51.100.12"],
      ["home", "10.9.0.2", "web1", "198.51.100.11"],
    ] as const) {
      const config = `[Interface]
Address = ${own}/24
ListenPort = 31820
PostUp = wg set %i private-key /etc/wireguard/key
[Peer]
PublicKey = ${keys[peer]}
Endpoint = ${address}:31820
AllowedIPs = 10.9.0.0/24
PersistentKeepalive = 1
`;
      await lab.exec(name, ["tee", "/etc/wireguard/wg0.conf"], { input: config });
      await out(name, "systemctl", "enable", "--now", "wg-quick@wg0.service");
    }
    await waitFor(() => ping("web1", "10.9.0.2"), { timeoutMs: 10_000, what: "a packet through the tunnel" });
    await lab.cut("home");
    expect(await ping("web1", "198.51.100.12")).toBe(false);
    expect(await ping("web1", "10.9.0.2")).toBe(false);
    expect(await out("home", "cat", "/sys/class/net/eth0/carrier")).toBe("1");
    await lab.heal("home");
    await waitFor(() => ping("web1", "10.9.0.2"), { timeoutMs: 10_000, what: "a packet through the healed tunnel" });
  });

  test("a late and lossy link", async () => {
    const rttMs = async (count: number) => {
      const result = await lab.exec("web1", ["ping", "-q", "-i", "0.01", "-c", String(count), "198.51.100.12"]);
      return {
        average: Number(/= [\d.]+\/([\d.]+)\//.exec(result.stdout)?.[1]),
        lost: Number(/([\d.]+)% packet loss/.exec(result.stdout)?.[1]),
      };
    };
    await lab.impair("home", { delayMs: 20, lossPercent: 0 });
    expect((await rttMs(5)).average).toBeWithin(40, 80);
    await lab.impair("home", { delayMs: 0, lossPercent: 20 });
    expect((await rttMs(100)).lost).toBeWithin(10, 70);
    await lab.cut("home");
    expect(await ping("web1", "198.51.100.12")).toBe(false);
    await lab.heal("home");
    await lab.impair("home", null);
    const good = await rttMs(20);
    expect(good.lost).toBe(0);
    expect(good.average).toBeLessThan(10);
  });

  test("kill and start: files stay, network state does not", async () => {
    await out("home", "sh", "-c", "ip route add unreachable 10.99.0.0/16; touch /root/kept");
    const leader = lab.servers[1]?.leaderPid();
    await lab.kill("home");
    expect(() => lab.servers[1]?.leaderPid()).toThrow("switched off");
    expect(await ping("web1", "198.51.100.12")).toBe(false);
    await expect(lab.exec("home", ["true"])).rejects.toThrow("home of lab");
    await lab.start("home");
    expect(lab.servers[1]?.leaderPid()).not.toBe(leader);
    expect(await out("home", "ls", "/root/kept")).toBe("/root/kept");
    expect(await out("home", "ip", "route")).not.toContain("10.99.0.0");
    // The unit was enabled: the tunnel is back by itself.
    await waitFor(() => ping("web1", "10.9.0.2"), { timeoutMs: 20_000, what: "the tunnel after the power loss" });
  });

  test("reboot", async () => {
    const boot = async () => await out("web1", "systemctl", "show", "--property=UserspaceTimestampMonotonic");
    const before = await boot();
    await lab.reboot("web1");
    expect(await boot()).not.toBe(before);
    expect(await out("web1", "docker", "image", "ls", "-q", "jiji-lab")).not.toBe("");
  });

  test("a server added later is known to the operator", async () => {
    const server = await lab.addServer({ name: "new1", release: "trixie", engine: "none" });
    expect(server.address).toBe("198.51.100.13");
    expect((await ssh("new1", "hostname")).stdout).toBe("new1\n");
    await expect(lab.addServer({ name: "new1", release: "trixie", engine: "none" })).rejects.toThrow("already");
  });

  test("a second lab has the same addresses and is another world; another process can open it", async () => {
    const other = await startLab({ id: newId(), servers: [{ name: "web1", release: "trixie", engine: "none" }] });
    try {
      expect(other.servers[0]?.address).toBe("198.51.100.11");
      const opened = await openLab(other.id);
      await opened.exec("web1", ["touch", "/root/second"]);
      expect((await other.exec("web1", ["ls", "/root/second"])).code).toBe(0);
      expect((await lab.exec("web1", ["ls", "/root/second"])).code).not.toBe(0);
    } finally {
      await other.down();
    }
    expect(findRemains(other.id)).toEqual([]);
    expect(traces(other.id)).toEqual([]);
    expect(await ping("web1", "198.51.100.12")).toBe(true);
  });

  test("a lab whose process is told to end, or fails, goes with it", async () => {
    const [told, failed] = [newId(), newId()];
    const children = await Promise.all([
      startElsewhere(told, "await Bun.sleep(600_000)"),
      startElsewhere(failed, "throw new Error('a bug')"),
    ]);
    children[0].kill("SIGTERM");
    expect(await children[0].exited).toBe(143);
    expect(await children[1].exited).toBe(1);
    for (const gone of [told, failed]) expect([...findRemains(gone), ...traces(gone)]).toEqual([]);
  });

  test("a lab whose process was killed is taken down by the next one", async () => {
    const killed = newId();
    const child = await startElsewhere(killed, "await Bun.sleep(600_000)");
    child.kill("SIGKILL");
    await child.exited;
    expect(findRemains(killed)).not.toEqual([]);
    expect(await removeAbandonedLabs()).toContain(killed);
    expect([...findRemains(killed), ...traces(killed)]).toEqual([]);
  });

  test("nothing of the lab is in the machine's own namespace", async () => {
    expect(await mustRun(["ip", "-o", "address"])).not.toContain("198.51.100.");
    expect(await mustRun(["ip", "-o", "link"])).not.toMatch(/\bp-(web1|home|operator)\b/);
  });

  test("three servers or fewer are up within 25 s from the cache, and down leaves nothing", async () => {
    const child = lab.operatorSpawn(["sleep", "600"]);
    await lab.down();
    expect(await child.exited).toBe(137);
    expect([...findRemains(id), ...traces(id)]).toEqual([]);
    await lab.down();
    expect(upMs).toBeLessThan(25_000);
  });
});
