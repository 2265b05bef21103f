import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync } from "node:fs";
import { join } from "node:path";
import { commandWorld, deployFile, type CommandWorld } from "./command-world.ts";

let world: CommandWorld;
afterEach(() => world.close());

describe("the file", () => {
  test("no file: exit 3 and how to go on", async () => {
    world = commandWorld();
    const result = await world.run("network", "setup", "--dry-run");
    expect(result).toMatchObject({ code: 3, stdout: "" });
    expect(result.stderr).toContain("error: no .jiji/deploy.yml here or in any folder above\nhint: ");
  });

  test("with --json an error is JSON on standard output, too", async () => {
    world = commandWorld();
    for (const [argv, exitCode, message] of [
      [["setup", "--dry-run"], 3, "no .jiji/deploy.yml here or in any folder above"],
      [["status"], 3, "no .jiji/deploy.yml here or in any folder above"],
      [["gc", "--nothing"], 2, "unknown option '--nothing'"],
      [["statsu"], 2, "unknown command 'statsu'"],
    ] as const) {
      const result = await world.run("network", ...argv, "--json");
      expect(result.code).toBe(exitCode);
      expect(JSON.parse(result.stdout)).toMatchObject({ ok: false, exitCode, error: { message } });
      if (argv[0] === "statsu") expect(JSON.parse(result.stdout).error.hint).toBe("did you mean status?");
      expect(result.stderr).toContain(`error: ${message}`);
    }
  });

  test("a file of another environment is looked for by its name", async () => {
    world = commandWorld();
    const result = await world.run("network", "status", "-e", "staging");
    expect(result.stderr).toContain("error: no .jiji/jiji.staging.yml here or in any folder above");
    expect((await world.run("network", "status", "-e", "../x")).code).toBe(2);
  });

  test("a file that was named and is not there", async () => {
    world = commandWorld();
    const result = await world.run("network", "status", "-c", "nowhere.yml");
    expect(result).toMatchObject({ code: 3 });
    expect(result.stderr).toContain("error: nowhere.yml does not exist");
  });

  test("an unreadable file", async () => {
    world = commandWorld();
    world.write("folder.yml/x", "");
    const result = await world.run("network", "status", "-c", "folder.yml");
    expect(result).toMatchObject({ code: 3 });
    expect(result.stderr).toContain("error: folder.yml cannot be read: EISDIR");
  });

  test("a file that is no text", async () => {
    world = commandWorld();
    world.write(".jiji/deploy.yml", "project: \u0000\n");
    expect((await world.run("network", "status")).code).toBe(3);
  });

  // security-tests: found-file
  test("a found file that every user can write is refused, a named one is not", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1"]));
    chmodSync(join(world.folder, ".jiji/deploy.yml"), 0o666);
    const found = await world.run("network", "status");
    expect(found.code).toBe(3);
    expect(found.stderr).toContain("can be written by every user");
    expect((await world.run("network", "status", "-c", ".jiji/deploy.yml")).code).toBe(5);
  });

  // security-tests: found-file
  test.skipIf(process.getuid?.() !== 0).each([
    ["a file of another user", ".jiji/deploy.yml", 65_534, 0, 0o644, "belongs to another user (65534)"],
    ["a folder of another user", ".jiji", 65_534, 0, 0o755, "belongs to another user (65534)"],
    ["a file that another group can write", ".jiji/deploy.yml", 0, 65_534, 0o664, "written by another group (65534)"],
    ["a folder that another group can write", ".jiji", 0, 65_534, 0o775, "written by another group (65534)"],
  ])("%s, found by searching upwards, is refused", async (_what, path, uid, gid, mode, why) => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1"]));
    chownSync(join(world.folder, path), uid, gid);
    chmodSync(join(world.folder, path), mode);
    const found = await world.run("network", "status");
    expect(found.code).toBe(3);
    expect(found.stderr).toContain(why);
    expect((await world.run("network", "status", "-c", ".jiji/deploy.yml")).code).toBe(5);
  });

  test("all problems at once, each with its place", async () => {
    world = commandWorld();
    world.write(
      ".jiji/deploy.yml",
      [
        "project: My_Shop",
        "servers:",
        "  web1: { host: 192.0.2.1, prot: 22 }",
        "  Web2: { host: 192.0.2.1 }",
        "network:",
        "  cluster_cidr: 10.210.1.0/16",
        "netwrok: {}",
        "",
      ].join("\n"),
    );
    const result = await world.run("network", "setup", "--dry-run");
    expect(result.code).toBe(3);
    expect(result.stderr).toMatchSnapshot();
  });

  test("a cluster that is too small", async () => {
    world = commandWorld();
    world.write(".jiji/deploy.yml", deployFile(["a", "b", "c"], "network: { cluster_cidr: 10.210.0.0/23 }\n"));
    const result = await world.run("network", "status");
    expect(result.stderr).toContain(".jiji/deploy.yml:6:26: 10.210.0.0/23 holds 2 servers, the file names 3");
  });

  test("a host that does not resolve", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1"]));
    world.lookup = () => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
    const result = await world.run("network", "setup", "--dry-run");
    expect(result.code).toBe(3);
    expect(result.stderr).toContain('.jiji/deploy.yml:3:17: server "web1": no such host: web1');
  });

  test("a look-up that fails for now leaves the server out, as if it were away", async () => {
    world = commandWorld("web1", "home");
    world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
    world.lookup = async (host) => {
      if (host === "home") throw Object.assign(new Error("again"), { code: "EAI_AGAIN" });
      return ["198.51.100.11"];
    };
    const result = await world.run("network", "setup", "--yes", "--corrosion-binary", world.corrosion);
    expect(result.code).toBe(4);
    expect(result.stderr).toContain("warning: home: its host name home cannot be looked up now; it is skipped");
  });

  test("a host that is this machine for everybody", async () => {
    world = commandWorld("web1", "home");
    world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
    world.lookup = async () => ["127.0.1.1"];
    const result = await world.run("network", "setup", "--dry-run");
    expect(result.code).toBe(3);
    expect(result.stderr).toContain("is 127.0.1.1, which only means itself");
  });

  test("two names for one host", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", "project: x\nservers:\n  a: { host: web1 }\n  b: { host: WEB1 }\n");
    const result = await world.run("network", "status");
    expect(result.stderr).toContain('4:14: host WEB1 is already the host of server "a"');
  });

  test("a private key that is not there", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1"], "ssh: { private_keys: [~/.ssh/deploy] }\n"));
    const result = await world.run("network", "status");
    expect(result.code).toBe(3);
    expect(result.stderr).toContain("ssh.private_keys: FOLDER/home/.ssh/deploy does not exist");
  });

  // security-tests: programs-confirmed
  test("a file that names programs is asked for once, and not by --yes", async () => {
    world = commandWorld("web1");
    const extra = "    endpoint: 198.51.100.11\nssh: { proxy_command: nc %h %p }\n";
    world.write(".jiji/deploy.yml", `project: x\nservers:\n  web1:\n    host: web1\n${extra}`);
    const refused = await world.run("network", "teardown", "--yes");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("would run programs on this machine\n  ssh.proxy_command runs: nc %h %p\nhint: ");
    expect((await world.run("network", "teardown", "--yes", "--trust-config")).code).toBe(0);
    world.answer = false;
    expect((await world.run("network", "teardown", "--yes")).code).toBe(130);
    world.answer = true;
    expect((await world.run("network", "teardown", "--yes")).code).toBe(0);
    world.answer = undefined;
    expect((await world.run("network", "teardown", "--yes")).code).toBe(0);
    expect(world.questions).toEqual(["Do you trust it?", "Do you trust it?"]);
    world.write(".jiji/deploy.yml", `project: x\nservers:\n  web1:\n    host: web1\n${extra.replace("nc", "evil")}`);
    expect((await world.run("network", "dns")).code).toBe(1);
  });

  // security-tests: programs-confirmed
  test("an ssh configuration of the repository's own is asked for, one in ~/.ssh is not", async () => {
    world = commandWorld("web1");
    world.write("ssh_config", "Host *\n");
    world.write("home/.ssh/work", "Host *\n");
    world.write(".jiji/deploy.yml", deployFile(["web1"], "ssh: { config: ssh_config }\n"));
    const refused = await world.run("network", "status");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("ssh.config reads: FOLDER/ssh_config");
    world.write(".jiji/deploy.yml", deployFile(["web1"], "ssh: { config: ~/.ssh/work }\n"));
    expect((await world.run("network", "status")).code).toBe(5);
  });

  test("a network that is switched off", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1"], "network: { enabled: false }\n"));
    for (const command of ["setup", "status", "dns"]) {
      const flags = command === "setup" ? ["--dry-run"] : [];
      const result = await world.run("network", command, ...flags);
      expect(result.code).toBe(1);
      expect(result.stderr).toContain("network.enabled is false in .jiji/deploy.yml");
    }
    expect((await world.run("network", "teardown", "--yes")).code).toBe(0);
  });
});

describe("the command line", () => {
  const wrong: readonly (readonly [string, readonly string[], string])[] = [
    [
      "a mistyped option",
      ["network", "setup", "--dry-rnu"],
      "error: unknown option '--dry-rnu'\nhint: did you mean --dry-run?",
    ],
    ["a mistyped command", ["network", "stauts"], "error: unknown command 'stauts'\nhint: did you mean status?"],
    ["a mistyped group", ["netwrok"], "error: unknown command 'netwrok'\nhint: did you mean network?"],
    ["too many words", ["network", "status", "now"], "error: too many arguments"],
    [
      "an option without its value",
      ["network", "status", "-c"],
      "error: option '-c, --config <file>' argument missing",
    ],
    ["quiet and verbose", ["network", "status", "-q", "-v"], "error: give --verbose or --quiet, not both"],
    [
      "file and environment",
      ["network", "status", "-c", "x", "-e", "y"],
      "error: give --config or --environment, not both",
    ],
  ];
  for (const [name, argv, says] of wrong) {
    test(`${name}: exit 2, and nothing runs`, async () => {
      world = commandWorld("web1");
      world.write(".jiji/deploy.yml", deployFile(["web1"]));
      const result = await world.run(...argv);
      expect(result.code).toBe(2);
      expect(result.stderr).toContain(says);
      expect(world.servers["web1"]!.log).toEqual([]);
    });
  }

  test("a pattern that matches no server", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1", "home"]));
    const result = await world.run("network", "status", "-H", "wbe1");
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("error: no server of the file matches --hosts wbe1\nhint: did you mean web1?");
  });

  test("a Corrosion that is none", async () => {
    world = commandWorld("web1");
    world.write(".jiji/deploy.yml", deployFile(["web1"]));
    world.write("text", "#!/bin/sh\n");
    const setup = (path: string) => world.run("network", "setup", "--dry-run", "--corrosion-binary", path);
    expect((await setup("text")).stderr).toContain("FOLDER/text is not a Linux executable for x64 or arm64");
    expect((await setup("missing")).stderr).toContain("FOLDER/missing does not exist");
    expect((await setup("missing")).code).toBe(2);
  });

  test("help and version are no errors", async () => {
    world = commandWorld();
    expect(await world.run("--version")).toMatchObject({ code: 0, stderr: "" });
    const help = await world.run("network", "setup", "--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toContain("--corrosion-binary");
  });
});
