import { chownSync, existsSync, lchownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../../tools/cache.ts";
import { ToolError } from "../../tools/errors.ts";
import { checkSystem } from "../../lab/machine.ts";

/** How this process can get root. */
export type RootAccess =
  | { readonly kind: "root" }
  | { readonly kind: "sudo" }
  | { readonly kind: "none"; readonly why: string };

export function findRootAccess(): RootAccess {
  if (process.getuid?.() === 0) return { kind: "root" };
  if (Bun.which("sudo") === null) return { kind: "none", why: "it needs root, and there is no sudo" };
  const asksNothing = Bun.spawnSync(["sudo", "-n", "true"], { stdio: ["ignore", "ignore", "ignore"] }).exitCode === 0;
  if (asksNothing || process.stdin.isTTY) return { kind: "sudo" };
  return { kind: "none", why: "it needs root, and sudo would ask for a password where nobody can type it" };
}

/** Why no lab can be had on this machine; undefined when it can. */
export function findLabObstacle(access: RootAccess): string | undefined {
  try {
    checkSystem();
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    return error.hint === undefined ? error.message : `${error.message}; ${error.hint}`;
  }
  return access.kind === "none" ? access.why : undefined;
}

/** What the lab does to this machine, said before it asks for root. */
export const labNotice = [
  "the next stages need root: they make network namespaces, mounts and processes, install the Debian packages that",
  "are missing here (mmdebstrap, systemd-container, iproute2, openssh-client and the like, each is named when it is",
  "installed), and keep about 3 GB of servers' root file systems in",
] as const;

/** Runs this program again through sudo with these arguments and gives its exit code. */
export async function runAsRoot(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const kept = { JIJI_CACHE: cacheDirectory(), PATH: process.env["PATH"] ?? "", ...env };
  for (const name of ["CI", "NO_COLOR", "TERM"]) {
    const value = process.env[name];
    if (value !== undefined) Object.assign(kept, { [name]: value });
  }
  const settings = Object.entries(kept).map(([name, value]) => `${name}=${value}`);
  const child = Bun.spawn(["sudo", "env", ...settings, process.execPath, "--no-env-file", Bun.main, ...args], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  // Ctrl-C reaches the whole foreground group; this process waits for the other one to tidy up.
  const ignore = () => undefined;
  process.on("SIGINT", ignore);
  const code = await child.exited;
  process.off("SIGINT", ignore);
  return code;
}

/** Gives a folder that root made in the repository to the user who called sudo. */
export function handBack(folder: string): void {
  const uid = Number(process.env["SUDO_UID"] ?? Number.NaN);
  const gid = Number(process.env["SUDO_GID"] ?? Number.NaN);
  if (process.getuid?.() !== 0 || !Number.isInteger(uid) || !Number.isInteger(gid) || !existsSync(folder)) return;
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    if (lstatSync(path).isDirectory()) handBack(path);
    else lchownSync(path, uid, gid);
  }
  chownSync(folder, uid, gid);
}
