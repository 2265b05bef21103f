import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BOOTSTRAP_SCRIPTS, remoteCommand, type BootstrapScript } from "./bootstrap-script.ts";
import { parseProbe } from "./probe-answer.ts";

/** Every shell of this machine that a server's /bin/sh may be. */
const SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"]].filter(
  ([program]) => Bun.which(program ?? "") !== null,
);

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "jiji-script-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a script as it is, but for the folder that it works in and the owner that it gives. */
async function runScript(shell: readonly string[], name: BootstrapScript, input: string | Uint8Array) {
  const text = BOOTSTRAP_SCRIPTS[name]
    .replaceAll("/opt/jiji", `${folder}/jiji`)
    .replaceAll("chown 0:0", `chown ${process.getuid?.()}:${process.getgid?.()}`);
  const child = Bun.spawn([...shell, "-c", text], {
    stdin: Buffer.from(input as string),
    stdout: "pipe",
    stderr: "pipe",
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", POISON: "1" },
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect(stdout).toStartWith("\njiji:begin\n");
  return { stdout: stdout.slice("\njiji:begin\n".length), stderr, code };
}

function upload(content: Uint8Array, change: { hash?: string; size?: string } = {}): Uint8Array {
  const hash = change.hash ?? sha256(content);
  return Buffer.concat([Buffer.from(`${hash} ${change.size ?? content.length}\n`), gzipSync(content)]);
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

test("every script can stand in single quotes, in any login shell", () => {
  for (const text of Object.values(BOOTSTRAP_SCRIPTS)) expect(text).not.toMatch(/['!\n\r]/);
});

test("the probe never runs as root by itself, the others do", () => {
  expect(remoteCommand("probe", "sudo")).toStartWith("exec /bin/sh -c '");
  expect(remoteCommand("run", "sudo")).toStartWith("exec sudo -n /bin/sh -c '");
  expect(remoteCommand("run", "root")).toStartWith("exec /bin/sh -c '");
});

for (const shell of SHELLS) {
  describe(`in ${shell.join(" ")}`, () => {
    const content = Buffer.alloc(300_000, "0123456789abcdef\n");

    test("an upload gets its place under its hash, for its owner alone", async () => {
      const result = await runScript(shell, "receive", upload(content));
      expect(result).toEqual({ stdout: "", stderr: "", code: 0 });
      const place = join(folder, "jiji/staging", sha256(content), "file");
      expect(readFileSync(place).equals(content)).toBe(true);
      expect(statSync(place).mode & 0o777).toBe(0o700);
      expect(statSync(join(folder, "jiji/staging")).mode & 0o777).toBe(0o700);
      expect(statSync(join(folder, "jiji")).mode & 0o777).toBe(0o755);
      expect(readdirSync(join(folder, "jiji/staging"))).toEqual([sha256(content)]);
    });

    // security-tests: upload-compared
    test("one changed byte, another length, half an upload: refused, and nothing is left", async () => {
      const changed = Buffer.from(content);
      changed[1000] = 0;
      const wrong = await runScript(shell, "receive", upload(changed, { hash: sha256(content) }));
      expect(wrong.code).toBe(66);
      expect(wrong.stderr).toContain("jiji: what arrived is not what was sent");
      expect((await runScript(shell, "receive", upload(content, { size: "299999" }))).code).toBe(66);
      expect((await runScript(shell, "receive", upload(content).subarray(0, 200))).code).not.toBe(0);
      expect(readdirSync(join(folder, "jiji/staging"))).toEqual([]);
    });

    test("a head that is no hash and size never becomes a path or a command", async () => {
      const bad = [
        "../../x",
        "$(touch poison)",
        "a".repeat(63),
        "a".repeat(65),
        "A".repeat(64),
        "g".repeat(64),
        "",
        "*",
      ];
      for (const hash of bad) {
        const result = await runScript(shell, "receive", upload(content, { hash }));
        expect([hash, result.code]).toEqual([hash, 64]);
      }
      for (const size of ["", "x", "-1", "1;ls", "1 2", "1e9", "9".repeat(13), "$(id)", "0x10"]) {
        expect([size, (await runScript(shell, "receive", upload(content, { size }))).code]).toEqual([size, 64]);
      }
      expect(readdirSync(folder)).toEqual([]);
    });

    test("unstage removes what it is told, and empty folders", async () => {
      await runScript(shell, "receive", upload(content));
      await runScript(shell, "receive", upload(Buffer.from("other")));
      await runScript(shell, "unstage", `${sha256(content)}\n`);
      expect(readdirSync(join(folder, "jiji/staging"))).toEqual([sha256(Buffer.from("other"))]);
      expect((await runScript(shell, "unstage", "../..\n")).code).toBe(64);
      await runScript(shell, "unstage", `${sha256(Buffer.from("other"))}\n`);
      expect(existsSync(join(folder, "jiji"))).toBe(false);
    });

    test("run takes the staged program of that hash, else the installed one, with a clean environment and folder", async () => {
      const program = (name: string): string => `#!/bin/sh\necho "${name} $* $(pwd) $(env | grep -c POISON) $(cat)"\n`;
      expect((await runScript(shell, "run", `installed observe\n`)).code).toBe(69);
      mkdirSync(join(folder, "jiji/bin"), { recursive: true });
      writeFileSync(join(folder, "jiji/bin/jiji"), program("installed"));
      expect((await runScript(shell, "run", `installed observe\n`)).code).toBe(68);
      chmodSync(join(folder, "jiji/bin/jiji"), 0o755);
      const staged = Buffer.from(program("staged"));
      await runScript(shell, "receive", upload(staged));
      const run = async (head: string) => (await runScript(shell, "run", `${head}\n{"a":1}\n`)).stdout;
      expect(await run("installed observe")).toBe('installed node observe / 0 {"a":1}\n');
      expect(await run(`${sha256(staged)} apply`)).toBe('staged node apply / 0 {"a":1}\n');
      expect(await run(`${"0".repeat(64)} lock`)).toBe('installed node lock / 0 {"a":1}\n');
    });

    test("run refuses any other head", async () => {
      for (const head of [
        "installed rm",
        "installed",
        "../x observe",
        "installed observe; id",
        "installed observe x",
      ]) {
        expect([head, (await runScript(shell, "run", `${head}\n`)).code]).toEqual([head, 64]);
      }
    });

    test("the probe says what it sees and then waits for the end of its input", async () => {
      const { stdout, code } = await runScript(shell, "probe", "");
      expect(code).toBe(0);
      const probe = parseProbe(["Welcome!", ...stdout.split("\n")]);
      expect(probe).toMatchObject({
        system: "Linux",
        machine: process.arch === "arm64" ? "aarch64" : "x86_64",
        spec: "",
      });
      expect(probe?.libc.version).toMatch(/^\d+\.\d+/);
    });
  });
}
