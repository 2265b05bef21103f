import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The whole program, with a cargo that only says that it was called. */
let folder: string;
let bin: string;
let cache: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "jiji-corrosion-"));
  bin = join(folder, "bin");
  cache = join(folder, "cache");
  mkdirSync(bin);
  for (const program of ["sh", "nice", "mkdir", "chmod", "sleep", "cat", "flock"]) {
    const path = Bun.which(program);
    if (path !== null) symlinkSync(path, join(bin, program));
  }
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function putCargo(version: string, install: string): void {
  const path = join(bin, "cargo");
  writeFileSync(
    path,
    `#!/bin/sh
if [ "$1" = --version ]; then echo "cargo ${version} (abc 2026-01-01)"; exit; fi
echo "$@ | $RUSTFLAGS" >> ${folder}/calls
while [ "$1" != --root ]; do shift; done
${install}
`,
  );
  chmodSync(path, 0o755);
}

const installs = `mkdir -p "$2/bin" "$CARGO_TARGET_DIR"; sleep 0.2; echo '#!/bin/sh' > "$2/bin/corrosion"; chmod +x "$2/bin/corrosion"`;

async function run(env: Record<string, string> = {}): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = Bun.spawn([process.execPath, "--no-env-file", join(import.meta.dir, "corrosion.ts")], {
    env: { PATH: bin, HOME: folder, JIJI_CACHE: cache, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout: stdout.trim(), stderr };
}

test("two at a time build it once, and later runs use it", async () => {
  putCargo("1.89.0", installs);
  const path = join(cache, "klukai-0.1.4/bin/corrosion");
  for (const { code, stdout } of await Promise.all([run(), run()]))
    expect({ code, stdout }).toEqual({ code: 0, stdout: path });
  expect(await run()).toMatchObject({ code: 0, stdout: path, stderr: "" });
  const calls = readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
  expect(calls).toEqual([
    `install klukai --version 0.1.4 --locked --root ${cache}/klukai-0.1.4.unfinished | --cfg tokio_unstable`,
  ]);
  expect(existsSync(join(cache, "klukai-0.1.4.target"))).toBe(false);
});

test("a build that breaks off leaves nothing that looks finished", async () => {
  putCargo("1.95.1", `mkdir -p "$2/bin"; echo "error: no network" >&2; exit 101`);
  const { code, stderr } = await run();
  expect(code).toBe(1);
  expect(stderr).toContain("exit 101");
  expect(readFileSync(join(cache, "klukai-0.1.4.log"), "utf8")).toContain("no network");
  expect(existsSync(join(cache, "klukai-0.1.4"))).toBe(false);
});

test("no cargo, and one that is too old", async () => {
  expect((await run()).stderr).toContain("there is no cargo");
  putCargo("1.88.9", installs);
  expect((await run()).stderr).toContain("cargo 1.88.9 (abc 2026-01-01) is too old");
  expect(existsSync(join(folder, "calls"))).toBe(false);
});

test("CORROSION_BIN wins, and must be there", async () => {
  expect(await run({ CORROSION_BIN: "/bin/sh:/bin/sh" })).toMatchObject({ code: 0, stdout: "/bin/sh:/bin/sh" });
  expect((await run({ CORROSION_BIN: "/nowhere/corrosion" })).stderr).toContain("/nowhere/corrosion");
});
