// Runs a TypeScript entry point of this repository with the pinned Bun, after installing the npm packages when they
// are missing or older than the lock file. Plain Node, no dependency: it is the first thing that runs after a clone.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [entry, ...args] = process.argv.slice(2);
if (entry === undefined) {
  console.error("usage: node scripts/run.mjs ENTRY.ts [ARGUMENT…]");
  process.exit(2);
}

const lockHash = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
const stamp = join(root, "node_modules", ".jiji-lock-hash");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lockHash) {
  console.error("installing npm packages …");
  const install = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (install.status !== 0) {
    console.error("error: npm ci failed\nhint: check that npm reaches its registry, then run the same command again");
    process.exit(1);
  }
  writeFileSync(stamp, lockHash);
}

const bun = join(root, "node_modules", ".bin", "bun");
const child = spawn(bun, ["--no-env-file", join(root, entry), ...args], { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`error: could not start Bun (${error.message})`);
  process.exit(1);
});
// The child tidies up (a lab, for one) before it ends, and this process stays until then. Ctrl-C has reached both.
process.on("SIGINT", () => undefined);
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
