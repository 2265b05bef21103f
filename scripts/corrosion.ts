// npm run corrosion: builds the Corrosion that tests and the lab use, once, into the cache. Prints its path.
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheDirectory, makeOwnedDirectory } from "../tools/cache.ts";
import { cachedCorrosion } from "../lab/corrosion-choice.ts";
import { withLock } from "../lab/lock.ts";
import { runBounded } from "./test-run/bounded-process.ts";

/** The fork on crates.io: the official release is published as a download only. */
const crate = { name: "klukai", version: "0.1.4" };
const minimumCargo = [1, 89] as const;
const buildTimeoutMs = 40 * 60_000;

/** A Corrosion to test with, or why there is none and what the reader can do. */
export type CorrosionForTests =
  | { readonly state: "ready"; readonly paths: string }
  /** this machine cannot build one */
  | { readonly state: "unavailable"; readonly why: string }
  /** the build broke off */
  | { readonly state: "failed"; readonly why: string };

/**
 * The binaries of CORROSION_BIN (colon-separated), else the cached one, else one that is built into the cache now: about
 * 11 minutes with two cores. Two runs at a time build it once. Never throws.
 */
export async function ensureCorrosion(say: (line: string) => void): Promise<CorrosionForTests> {
  const given = process.env["CORROSION_BIN"];
  if (given !== undefined && given !== "") {
    const missing = given.split(":").filter((path) => path !== "" && !isExecutable(path));
    if (missing.length === 0) return { state: "ready", paths: given };
    return { state: "failed", why: `CORROSION_BIN names ${missing.join(", ")}, which is no executable file` };
  }
  if (isExecutable(cachedCorrosion())) return { state: "ready", paths: cachedCorrosion() };
  const obstacle = findObstacle();
  if (obstacle !== undefined) return { state: "unavailable", why: obstacle };
  try {
    makeOwnedDirectory(cacheDirectory());
    return await withLock(join(cacheDirectory(), "corrosion.lock"), async () => {
      if (isExecutable(cachedCorrosion())) return { state: "ready", paths: cachedCorrosion() };
      return await build(say);
    });
  } catch (error) {
    return { state: "failed", why: error instanceof Error ? error.message : String(error) };
  }
}

function isExecutable(path: string): boolean {
  return existsSync(path) && statSync(path).isFile() && (statSync(path).mode & 0o111) !== 0;
}

function findObstacle(): string | undefined {
  const wanted = `cargo ${minimumCargo.join(".")} or newer (https://rustup.rs), or CORROSION_BIN`;
  if (process.platform !== "linux") return `Corrosion for tests is built on Linux only; set CORROSION_BIN`;
  if (Bun.which("cargo") === null) return `there is no cargo to build Corrosion with; needed: ${wanted}`;
  const said = Bun.spawnSync(["cargo", "--version"]).stdout.toString().trim();
  const [, major, minor] = /^cargo (\d+)\.(\d+)/.exec(said) ?? [];
  const isNewEnough =
    Number(major) > minimumCargo[0] || (Number(major) === minimumCargo[0] && Number(minor) >= minimumCargo[1]);
  return isNewEnough ? undefined : `${said || "this cargo"} is too old to build Corrosion; needed: ${wanted}`;
}

async function build(say: (line: string) => void): Promise<CorrosionForTests> {
  const root = dirname(dirname(cachedCorrosion()));
  const unfinished = `${root}.unfinished`;
  const targets = `${root}.target`;
  const log = `${root}.log`;
  say(`building ${crate.name} ${crate.version} with cargo into ${root}, once; about 11 minutes with two cores`);
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  try {
    const ended = await runBounded(
      [
        "nice",
        "-n",
        "10",
        "cargo",
        "install",
        crate.name,
        "--version",
        crate.version,
        "--locked",
        "--root",
        unfinished,
      ],
      { timeoutMs: buildTimeoutMs, env: { RUSTFLAGS: "--cfg tokio_unstable", CARGO_TARGET_DIR: targets } },
    );
    await Bun.write(log, ended.output);
    if (ended.code !== 0) {
      const how = ended.timedOut ? `was not done after ${buildTimeoutMs / 60_000} minutes` : `exit ${ended.code}`;
      return { state: "failed", why: `cargo install ${crate.name}: ${how}; its output is in ${log}` };
    }
    rmSync(root, { recursive: true, force: true });
    renameSync(unfinished, root);
    rmSync(targets, { recursive: true, force: true });
    say(`built ${cachedCorrosion()} in ${Math.round(ended.durationMs / 60_000)} minutes`);
    return { state: "ready", paths: cachedCorrosion() };
  } finally {
    // After a failure the compiled parts stay, 1.5 GB at most: the next attempt continues from them.
    rmSync(unfinished, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const corrosion = await ensureCorrosion((line) => console.error(line));
  if (corrosion.state === "ready") {
    console.log(corrosion.paths);
  } else {
    console.error(`error: ${corrosion.why}`);
    process.exitCode = 1;
  }
}
