import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { cacheDirectory } from "../tools/cache.ts";
import { ToolError } from "../tools/errors.ts";
import { mustRun, run } from "../tools/run.ts";

/** What the lab needs on the machine: a file or program, and the Debian package that brings it. */
const needs: readonly (readonly [what: string, debianPackage: string])[] = [
  ["mmdebstrap", "mmdebstrap"],
  ["systemd-nspawn", "systemd-container"],
  ["ip", "iproute2"],
  ["bridge", "iproute2"],
  ["ethtool", "ethtool"],
  ["ssh", "openssh-client"],
  ["ssh-keygen", "openssh-client"],
  ["flock", "util-linux"],
  ["nsenter", "util-linux"],
  ["bash", "bash"],
  ["/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"],
];

/**
 * Throws `ToolError` at once when this machine cannot carry a lab: not Linux, or neither Debian nor Ubuntu (or a
 * relative). Looks only; needs no rights.
 */
export function checkSystem(): void {
  const alternative =
    "run it in a container (docker run --privileged -v /var/tmp debian:trixie) or in a virtual machine with Debian";
  if (process.platform !== "linux")
    throw new ToolError(`the lab needs Linux, and this is ${process.platform}`, alternative);
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const field = (name: string) => release.match(new RegExp(`^${name}=["']?([^"'\n]*)`, "m"))?.[1] ?? "";
  if (!/\b(debian|ubuntu)\b/.test(`${field("ID")} ${field("ID_LIKE")}`)) {
    const name = field("PRETTY_NAME") || "an unknown system";
    throw new ToolError(`the lab's servers are made with Debian's tools, and this machine runs ${name}`, alternative);
  }
}

/**
 * Goes on as root: when this process is not, it says so, runs the same command line through sudo, and ends with its
 * exit code. Throws `ToolError` where there is no sudo.
 */
export function becomeRoot(): void {
  if (process.getuid?.() === 0) return;
  checkSystem();
  if (Bun.which("sudo") === null) throw new ToolError("the lab needs root, and there is no sudo", "run it as root");
  console.error("the lab needs root (namespaces, mounts): running again with sudo");
  const kept = [`JIJI_CACHE=${cacheDirectory()}`, `PATH=${process.env["PATH"] ?? ""}`];
  for (const name of ["CI", "CORROSION_BIN", "NO_COLOR", "TERM"]) {
    if (process.env[name] !== undefined) kept.push(`${name}=${process.env[name]}`);
  }
  const child = Bun.spawnSync(
    ["sudo", "env", ...kept, process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    {
      stdio: ["inherit", "inherit", "inherit"],
    },
  );
  process.exit(child.exitCode ?? 1);
}

/**
 * Makes the machine ready for a lab: checks it, installs the Debian packages that are missing (saying which), and sees
 * that /dev/net/tun is there. Throws `ToolError` with the next step where that cannot be done.
 */
export async function prepareMachine(onProgress: (line: string) => void): Promise<void> {
  checkSystem();
  if (process.getuid?.() !== 0) throw new ToolError("the lab needs root", "run it with sudo");
  const missing = new Set(needs.filter(([what]) => !isThere(what)).map(([, debianPackage]) => debianPackage));
  if (missing.size > 0) {
    const packages = [...missing].sort();
    onProgress(`installing on this machine: ${packages.join(", ")}`);
    const env = { ...(process.env as Record<string, string>), DEBIAN_FRONTEND: "noninteractive" };
    await mustRun(["apt-get", "-qq", "update"], { env });
    await mustRun(["apt-get", "-qq", "-y", "install", "--no-install-recommends", ...packages], { env });
  }
  if (!existsSync("/dev/net/tun")) {
    await run(["modprobe", "tun"]);
    mkdirSync("/dev/net", { recursive: true });
    if (!existsSync("/dev/net/tun")) await mustRun(["mknod", "-m", "666", "/dev/net/tun", "c", "10", "200"]);
  }
}

function isThere(what: string): boolean {
  return what.startsWith("/") ? existsSync(what) : Bun.which(what) !== null;
}
