import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ToolError } from "../tools/errors.ts";
import { namePrefix } from "./namespaces.ts";
import { waitFor } from "./wait.ts";

/** Where cgroup v2 is mounted: alone, or beside v1 hierarchies. */
export function cgroupRoot(): string {
  const line = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .find((mount) => mount.split(" ")[2] === "cgroup2");
  const root = line?.split(" ")[1];
  if (root === undefined) {
    throw new ToolError("cgroup v2 is not mounted on this machine", "mount -t cgroup2 none /sys/fs/cgroup");
  }
  return root;
}

/** The cgroup that holds everything that runs in a server. */
export function serverCgroup(id: string, server: string): string {
  return join(cgroupRoot(), `${namePrefix}${id}.${server}`);
}

/** Cgroups of the servers of a lab, or of all labs. */
export function listCgroups(id?: string): string[] {
  const prefix = id === undefined ? namePrefix : `${namePrefix}${id}.`;
  const root = cgroupRoot();
  return readdirSync(root)
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(root, name));
}

/** Kills all processes in a cgroup and below at once (as a power cut does), and removes it; gone already: no error. */
export async function destroyCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  killCgroup(path);
  await waitFor(() => !/^populated 1$/m.test(readFileSync(join(path, "cgroup.events"), "utf8")), {
    timeoutMs: 20_000,
    what: `the end of the processes in ${path}`,
    intervalMs: 10,
  });
  removeTree(path);
}

/** Kills all processes in a cgroup and below. */
export function killCgroup(path: string): void {
  try {
    writeFileSync(join(path, "cgroup.kill"), "1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

export function makeCgroup(path: string): void {
  mkdirSync(path, { recursive: true });
}

function removeTree(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  }
  rmdirSync(path);
}
