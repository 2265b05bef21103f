import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import packageJson from "../package.json" with { type: "json" };
import { ARCHITECTURES, bunRuntime, type Architecture } from "./bun-runtimes.ts";
import { mustRun } from "./run.ts";

const ROOT = join(import.meta.dir, "..");
const DIST = join(ROOT, "dist");

/** The machine field of an ELF header (e_machine), as the ELF specification numbers them. */
const ELF_MACHINES: Record<Architecture, number> = { x64: 62, arm64: 183 };

/**
 * Builds jiji into dist/: `jiji`, the CLI of this machine, and `server/`, what the CLI uploads: the executable for each
 * architecture, compressed, and release.json with their digests. Does nothing when no source has changed since.
 */
export async function buildExecutable(options: { readonly onProgress?: (line: string) => void } = {}): Promise<void> {
  const say = options.onProgress ?? (() => undefined);
  const stamp = join(DIST, "sources.sha256");
  const sources = hashOfSources();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === sources) {
    say("dist/jiji is up to date");
    return;
  }
  rmSync(stamp, { force: true });
  mkdirSync(join(DIST, "server"), { recursive: true });
  const files: Record<string, unknown> = {};
  for (const architecture of ARCHITECTURES) files[architecture] = await buildFor(architecture, say);
  writeFileSync(
    join(DIST, "server", "release.json"),
    `${JSON.stringify({ version: packageJson.version, files }, null, 2)}\n`,
  );
  const host = process.arch === "arm64" ? "arm64" : "x64";
  copyFileSync(join(DIST, `jiji-linux-${host}`), join(DIST, "jiji.new"));
  renameSync(join(DIST, "jiji.new"), join(DIST, "jiji"));
  writeFileSync(stamp, sources);
}

async function buildFor(architecture: Architecture, say: (line: string) => void): Promise<unknown> {
  const name = `jiji-linux-${architecture}`;
  const output = join(DIST, name);
  const runtime = await bunRuntime(architecture);
  await mustRun(
    [
      process.execPath,
      "build",
      "--compile",
      `--target=bun-linux-${architecture === "x64" ? "x64-baseline" : "arm64"}`,
      `--compile-executable-path=${runtime}`,
      // A compiled program would otherwise obey bunfig.toml (with its preload) and .env of whatever folder it is
      // started in, and it is started as root.
      "--no-compile-autoload-bunfig",
      "--no-compile-autoload-dotenv",
      "--minify-syntax",
      "--minify-whitespace",
      "--sourcemap=none",
      // Parsed beforehand: the program starts several times in each setup on each server, in half the time.
      "--bytecode",
      "--format=esm",
      `--outfile=${output}`,
      join(ROOT, "src", "bin", "jiji.ts"),
      join(ROOT, "src", "bin", "dns-worker.ts"),
    ],
    { cwd: ROOT },
  );
  const content = readFileSync(output);
  checkFormat(architecture, content);
  const gzip = `${name}.gz`;
  const compressed = Bun.gzipSync(content, { level: 6 });
  writeFileSync(join(DIST, "server", gzip), compressed);
  say(`${name}: ${megabytes(content.length)}, to upload ${megabytes(compressed.length)}`);
  return {
    sha256: sha256(content),
    sizeBytes: content.length,
    gzip,
    gzipSha256: sha256(compressed),
    glibc: neededGlibc(content),
  };
}

/** Throws unless the file is a 64-bit little-endian ELF executable for that architecture. */
function checkFormat(architecture: Architecture, content: Buffer): void {
  const isElf64 = content.subarray(0, 6).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]));
  const machine = content.readUInt16LE(18);
  if (!isElf64 || machine !== ELF_MACHINES[architecture]) {
    throw new Error(`the build for ${architecture} is not an ELF file for it (machine ${machine})`);
  }
}

/** The newest symbol version of the C library that the program asks for: the oldest glibc that it runs on. */
function neededGlibc(content: Buffer): string {
  const versions = content.toString("latin1").matchAll(/GLIBC_(\d+)\.(\d+)(?:\.\d+)?\0/g);
  const minors = [...versions].filter(([, major]) => major === "2").map(([, , minor]) => Number(minor));
  if (minors.length === 0) throw new Error("the build asks for no version of glibc");
  return `2.${Math.max(...minors)}`;
}

function hashOfSources(): string {
  const hash = createHash("sha256");
  const names = [...new Glob("src/**/*.ts").scanSync({ cwd: ROOT })].filter((name) => !name.endsWith(".test.ts"));
  for (const name of [
    ...names.toSorted(),
    "package.json",
    "package-lock.json",
    "tools/build.ts",
    "tools/bun-runtimes.ts",
  ]) {
    hash.update(`${name}\0`).update(readFileSync(join(ROOT, name)));
  }
  return hash.digest("hex");
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

if (import.meta.main) {
  await buildExecutable({ onProgress: (line) => console.error(line) });
}
