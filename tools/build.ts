import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import packageJson from "../package.json" with { type: "json" };
import { parseElf } from "../src/cli/corrosion/elf.ts";
import { ARCHITECTURES, parseArch, type Arch } from "../src/model/architecture.ts";
import { bunRuntime } from "./bun-runtimes.ts";
import { mustRun } from "./run.ts";

const ROOT = join(import.meta.dir, "..");
const DIST = join(ROOT, "dist");

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
  const host = parseArch(process.arch) ?? "x64";
  copyFileSync(join(DIST, `jiji-linux-${host}`), join(DIST, "jiji.new"));
  renameSync(join(DIST, "jiji.new"), join(DIST, "jiji"));
  writeFileSync(stamp, sources);
}

async function buildFor(architecture: Arch, say: (line: string) => void): Promise<unknown> {
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
  const glibc = neededGlibc(architecture, content);
  const gzip = `${name}.gz`;
  const compressed = Bun.gzipSync(content, { level: 6 });
  writeFileSync(join(DIST, "server", gzip), compressed);
  say(`${name}: ${megabytes(content.length)}, to upload ${megabytes(compressed.length)}`);
  return {
    sha256: sha256(content),
    sizeBytes: content.length,
    gzip,
    gzipSha256: sha256(compressed),
    glibc,
  };
}

/** The oldest glibc that the build runs on. Throws unless it is an executable for that architecture. */
function neededGlibc(architecture: Arch, content: Buffer): string {
  const elf = parseElf(content);
  if (elf?.arch !== architecture) throw new Error(`the build for ${architecture} is not an ELF file for it`);
  if (elf.glibc === "0") throw new Error("the build asks for no version of glibc");
  return elf.glibc;
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
