import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Arch } from "../src/model/architecture.ts";
import { cacheDirectory } from "./cache.ts";
import { ToolError } from "./errors.ts";
import { mustRun } from "./run.ts";

/**
 * The Bun executables that become jiji: the same version as the `bun` package that runs the build, and for x64 the
 * baseline build, since small servers often lack AVX2. Pinned by what the registry's own lock format calls integrity.
 */
const VERSION = "1.4.5";
const RUNTIMES: Record<Arch, { readonly packageName: string; readonly integrity: string }> = {
  x64: {
    packageName: "@oven/bun-linux-x64-baseline",
    integrity: "sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==",
  },
  arm64: {
    packageName: "@oven/bun-linux-aarch64",
    integrity: "sha512-4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==",
  },
};

/** The path of Bun for linux and that architecture, fetched into the cache when it is not there yet. */
export async function bunRuntime(architecture: Arch): Promise<string> {
  if (Bun.version !== VERSION) throw new Error(`this is Bun ${Bun.version}, the runtimes are pinned for ${VERSION}`);
  const folder = join(cacheDirectory(), "bun", VERSION);
  const executable = join(folder, `bun-linux-${architecture}`);
  if (existsSync(executable)) return executable;
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, ".fetch-"));
  try {
    const { packageName, integrity } = RUNTIMES[architecture];
    await mustRun(["npm", "pack", "--silent", `${packageName}@${VERSION}`], { cwd: work });
    const tarball = join(work, `${packageName.slice(1).replace("/", "-")}-${VERSION}.tgz`);
    const digest = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
    if (digest !== integrity) throw new ToolError(`${packageName}@${VERSION} is not what was pinned: ${digest}`);
    await mustRun(["tar", "xzf", tarball, "-C", work, "package/bin/bun"]);
    renameSync(join(work, "package", "bin", "bun"), executable);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return executable;
}
