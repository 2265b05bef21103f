import { readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { cgroupRoot, destroyCgroup, makeCgroup, serverCgroup } from "./cgroups.ts";
import { ToolError } from "../tools/errors.ts";
import { bridgePort, startForwarder, stopForwarder } from "./impair.ts";
import { namePrefix, namespaceName, namespacePath, plugIn, setLinkPassing, unplug } from "./namespaces.ts";
import { startDetached } from "./detached.ts";
import { isAlive, type ProcessIdentity, signalProcess } from "./process-identity.ts";
import { serverRoot } from "./server-root.ts";
import { loadServerState, serverDirectory, updateServerState } from "./state.ts";
import { waitFor } from "./wait.ts";

/** File with what the server's console showed since it was made. */
export function consoleLog(id: string, name: string): string {
  return join(serverDirectory(id, name), "console.log");
}

/**
 * Switches a server on: a new network namespace (a reboot leaves no route or rule behind), then systemd by
 * systemd-nspawn. Returns when the process runs; `waitUntilUp` waits for the server.
 */
export async function powerOn(id: string, name: string): Promise<void> {
  const state = loadServerState(id, name);
  if (state.nspawn !== null && isAlive(state.nspawn)) return;
  await removeRemains(id, name);
  const namespace = namespaceName(id, `s-${name}`);
  await plugIn(id, namespace, name, state.octet);
  if (state.impairment !== null) await startForwarder(id, name, state.impairment);
  if (state.cut) await setLinkPassing(id, bridgePort(id, name), false);
  const cgroup = serverCgroup(id, name);
  makeCgroup(cgroup);
  const nspawn = await startDetached(nspawnCommand(id, name, namespace), {
    cgroup,
    log: consoleLog(id, name),
    env: {
      // Without the first, /proc/sys is read-only and dockerd stops; without the second, cgroups are.
      SYSTEMD_NSPAWN_API_VFS_WRITABLE: "yes",
      SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1",
    },
  });
  updateServerState(id, name, { nspawn });
}

function nspawnCommand(id: string, name: string, namespace: string): string[] {
  return [
    ...["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"],
    ...["-D", serverRoot(id, name), `--machine=${machineName(id, name)}`, `--hostname=${name}`],
    `--network-namespace-path=${namespacePath(namespace)}`,
    ...["--capability=all", "--system-call-filter=@keyring bpf perf_event_open", "--bind=/dev/net/tun"],
    ...["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"],
  ];
}

/** Power loss: everything in the server ends at once, nothing is told about it. */
export async function powerLoss(id: string, name: string): Promise<void> {
  await removeRemains(id, name);
  updateServerState(id, name, { nspawn: null });
}

/** An orderly shutdown (`poweroff`); a server that is not down after `timeoutMs` loses its power. */
export async function powerOff(id: string, name: string, timeoutMs = 40_000): Promise<void> {
  const { nspawn } = loadServerState(id, name);
  if (nspawn !== null && signalProcess(nspawn, "SIGTERM")) {
    await waitFor(() => !isAlive(nspawn), { timeoutMs, what: `the shutdown of ${name}` }).catch(() => undefined);
  }
  await powerLoss(id, name);
}

/** The process id, on the machine, of the server's systemd. Throws `ToolError` when the server is switched off. */
export function leaderPid(id: string, name: string): number {
  const { nspawn } = loadServerState(id, name);
  if (nspawn === null || !isAlive(nspawn)) {
    throw new ToolError(`${name} of lab ${id} is switched off`, `npm run lab -- start ${name} --id ${id}`);
  }
  const leader = childrenOf(nspawn).find(isFirstOfItsNamespace);
  if (leader === undefined) throw new ToolError(`${name} of lab ${id} is only just starting`);
  return leader;
}

/** The cgroup, on the machine, that the server sees as its root. */
export function payloadCgroup(leader: number): string {
  const path = readFileSync(`/proc/${leader}/cgroup`, "utf8").match(/^0::(.*)$/m)?.[1];
  if (path === undefined) throw new ToolError("the server's cgroup cannot be read");
  // systemd is in init.scope below it, or not yet.
  return join(cgroupRoot(), path.endsWith("/init.scope") ? dirname(path) : path);
}

function childrenOf(parent: ProcessIdentity): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => statusField(pid, "PPid") === String(parent.pid));
}

function isFirstOfItsNamespace(pid: number): boolean {
  const ids = statusField(pid, "NSpid")?.split(/\s+/) ?? [];
  return ids.length > 1 && ids.at(-1) === "1";
}

function statusField(pid: number, field: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8").match(new RegExp(`^${field}:\\s*(.*)$`, "m"))?.[1];
  } catch {
    return undefined;
  }
}

function machineName(id: string, name: string): string {
  return `${namePrefix}${id}-${name}`;
}

async function removeRemains(id: string, name: string): Promise<void> {
  await destroyCgroup(serverCgroup(id, name));
  await stopForwarder(id, name);
  await unplug(id, namespaceName(id, `s-${name}`), name);
  removeNspawnFiles(id, name);
}

/** systemd-nspawn removes these itself unless it is killed. Call it before the server's root is unmounted. */
export function removeNspawnFiles(id: string, name: string): void {
  const machine = machineName(id, name);
  for (const folder of ["propagate", "unix-export"]) {
    rmSync(`/run/systemd/nspawn/${folder}/${machine}`, { recursive: true, force: true });
  }
  const root = statSync(serverRoot(id, name), { throwIfNoEntry: false });
  if (root !== undefined) rmSync(`/run/systemd/nspawn/locks/inode-${root.dev}:${root.ino}`, { force: true });
  rmSync(`/run/systemd/nspawn/locks/name-${machine}`, { force: true });
  rmSync(join(serverDirectory(id, name), ".#root.lck"), { force: true });
}
