import { afterAll, beforeAll, expect, test } from "bun:test";
import { buildExecutable } from "../../tools/build.ts";
import { mustFindCorrosion } from "../../lab/corrosion-choice.ts";
import { expectSuccess, runJiji, writeDeployFile, type DeployRequest } from "../../lab/jiji.ts";
import { startLab, type ExecResult, type Lab } from "../../lab/lab.ts";
import { diffSnapshots, snapshotServer, type ServerSnapshot } from "../../lab/snapshot.ts";

/**
 * Servers that cannot be set up as they are: each reason is named with the next step, before anything is changed
 * anywhere. What a fake server can say stands in test/command; here real systems say it.
 */
let lab: Lab;
let setupArguments: readonly string[];

beforeAll(async () => {
  await buildExecutable({});
  const corrosion = await mustFindCorrosion();
  setupArguments = ["network", "setup", "--yes", "--corrosion-binary", corrosion];
  lab = await startLab({
    servers: [
      { name: "web1", release: "trixie", engine: "docker" },
      { name: "bare", release: "trixie", engine: "none" },
    ],
  });
}, 600_000);

afterAll(() => lab?.down());

/** Runs setup for a file, expects it to be refused, and every server to be as it was. */
async function refused(request: DeployRequest): Promise<ExecResult> {
  const before = new Map<string, ServerSnapshot>(
    await Promise.all(lab.servers.map(async ({ name }) => [name, await snapshotServer(lab, name)] as const)),
  );
  writeDeployFile(lab, { project: "shop", ...request });
  const result = await runJiji(lab, setupArguments);
  expect(`exit ${result.code}\n${result.stderr}`).toStartWith("exit 1\n");
  for (const [name, snapshot] of before) {
    const changes = diffSnapshots(snapshot, await snapshotServer(lab, name));
    expect(changes.map((line) => `${name}: ${line}`)).toEqual([]);
  }
  return result;
}

async function on(server: string, ...argv: readonly string[]): Promise<void> {
  expectSuccess(await lab.exec(server, argv), `${server}: ${argv.join(" ")}`);
}

test("a login that is refused, and one that may not become root", async () => {
  const { stderr } = await refused({ entries: { web1: { user: "stranger" }, bare: { user: "plain" } } });
  expect(stderr).toContain("error: web1: jiji cannot log in: it refused the login (it accepts: publickey");
  expect(stderr).toContain("hint: check ssh.user and ssh.private_keys; this must work without a password: ssh ");
  expect(stderr).toContain("error: bare: the login is not root, and sudo asks for a password or is not there");
  expect(stderr).not.toContain("uploading");
}, 120_000);

test("another architecture than the file says: nothing is uploaded", async () => {
  const { stderr } = await refused({ servers: ["web1"], entries: { web1: { arch: "arm64" } } });
  expect(stderr).toContain("error: web1: it is x64, the file says arm64");
  expect(stderr).not.toContain("uploading");
}, 120_000);

test("no engine, ports that are taken and by whom, a range in use, somebody else's network: all at once", async () => {
  await on("web1", "systemd-run", "--unit=hog-31820", "socat", "UDP4-RECVFROM:31820,fork", "-");
  await on("web1", "systemd-run", "--unit=hog-53", "socat", "TCP4-LISTEN:53,fork", "-");
  await on("web1", "ip", "link", "add", "backbone", "type", "bridge");
  await on("web1", "ip", "address", "add", "10.210.77.1/24", "dev", "backbone");
  await on("web1", "docker", "network", "create", "jiji");
  const { stderr } = await refused({});
  expect(stderr).toContain("error: bare: neither Docker nor Podman is installed\nhint: install one of them");
  expect(stderr).toContain("error: web1: port 31820/udp is taken by socat; WireGuard needs it: it listens on 0.0.0.0");
  expect(stderr).toContain("error: web1: port 53/tcp is taken by socat; jiji-dns needs it: it listens on 0.0.0.0");
  expect(stderr).toContain("hint: stop socat, or let it listen on other addresses only; ss -lnp shows it");
  expect(stderr).toContain("error: web1: 10.210.77.0/24 is already in use by");
  expect(stderr).toContain("hint: choose another network.cluster_cidr");
  expect(stderr).toContain("error: web1: docker has a network jiji that jiji did not make");
  expect(stderr).toContain("hint: remove it: docker network rm jiji");
  expect(stderr).toContain("nothing was changed");
}, 180_000);

test("without the obstacles, and with the unfit server left out, the same file works", async () => {
  await on("web1", "systemctl", "stop", "hog-31820", "hog-53");
  await on("web1", "ip", "link", "delete", "backbone");
  await on("web1", "docker", "network", "rm", "jiji");
  expectSuccess(await runJiji(lab, [...setupArguments, "-H", "web1"]), "setup of web1");
}, 180_000);
