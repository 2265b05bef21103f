import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExecutable } from "../../tools/build.ts";
import { VERSION } from "../../src/model/version.ts";
import { MARKER } from "../../src/system/answer-marker.ts";
import { BOOTSTRAP_SCRIPTS } from "../../src/system/bootstrap-script.ts";

/**
 * A program that is compiled with Bun is a root program on every server: nothing that lies in a folder, and no variable of
 * somebody's environment, may change what it does.
 */
const executable = join(import.meta.dir, "../../dist/jiji");
let folder: string;

const trap = (): boolean => existsSync(join(folder, "sprung"));

beforeAll(async () => {
  await buildExecutable({});
  folder = mkdtempSync(join(tmpdir(), "jiji-planted-"));
  writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./evil.ts"]\n[run]\npreload = ["./evil.ts"]\n');
  writeFileSync(
    join(folder, "evil.ts"),
    `require("node:fs").writeFileSync(${JSON.stringify(join(folder, "sprung"))}, "");\n`,
  );
  writeFileSync(join(folder, ".env"), "BUN_BE_BUN=1\nNO_COLOR=from-dotenv\nJIJI_DEBUG=1\nHOME=/nonexistent\n");
  writeFileSync(join(folder, "tsconfig.json"), '{ "compilerOptions": { "paths": { "*": ["./evil.ts"] } } }\n');
  mkdirSync(join(folder, "jiji/bin"), { recursive: true });
  symlinkSync(executable, join(folder, "jiji/bin/jiji"));
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(argv: string[], options: { env?: Record<string, string>; input?: string } = {}) {
  const child = Bun.spawn(argv, {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", ...options.env },
    stdin: Buffer.from(options.input ?? ""),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

test("the trap is a trap: as Bun itself the file would run what lies in the folder", async () => {
  await start([executable, "-e", "1"], { env: { BUN_BE_BUN: "1" } });
  expect(trap()).toBe(true);
  rmSync(join(folder, "sprung"));
});

// security-tests: nothing-run-from-folder
test("started by hand in such a folder it reads nothing of it", async () => {
  expect(await start([executable, "--version"])).toEqual({ stdout: `${VERSION}\n`, stderr: "", code: 0 });
  expect(trap()).toBe(false);
});

// security-tests: nothing-run-from-folder
test("the line that starts it on a server also takes away the variable that would make it Bun", async () => {
  const line = BOOTSTRAP_SCRIPTS.run.replaceAll("/opt/jiji", join(folder, "jiji"));
  const env = { BUN_BE_BUN: "1", BUN_OPTIONS: "--preload=./evil.ts", NODE_OPTIONS: "--require=./evil.ts" };
  const result = await start(["/bin/sh", "-c", line], { env, input: "installed observe\nno request\n" });
  const [, answer = ""] = result.stdout.split(`\n${MARKER}\n`);
  expect(JSON.parse(answer)).toMatchObject({ type: "failed", message: "the request is not JSON" });
  expect(result.code).toBe(1);
  expect(trap()).toBe(false);
});

test("it says how to go on when its server files are missing", async () => {
  writeFileSync(join(folder, "deploy.yml"), "project: a\nservers: { b: { host: 192.0.2.1 } }\n");
  rmSync(join(folder, "jiji/bin/jiji"));
  await Bun.write(join(folder, "jiji/bin/jiji"), Bun.file(executable));
  await start(["chmod", "755", join(folder, "jiji/bin/jiji")]);
  const alone = await start([join(folder, "jiji/bin/jiji"), "network", "setup", "--dry-run", "-c", "deploy.yml"]);
  expect(alone.code).toBe(1);
  expect(alone.stderr).toContain("the files for servers are missing");
});
