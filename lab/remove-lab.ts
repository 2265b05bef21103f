import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { imageDirectory } from "./base-image.ts";
import { destroyCgroup, listCgroups } from "./cgroups.ts";
import { withLock } from "./lock.ts";
import { listNamespaces, namePrefix, processesIn, removeNamespace, removeNamespaceFiles } from "./namespaces.ts";
import { removeMadeSshFolder } from "./operator.ts";
import { identifyProcess, signalProcess } from "./process-identity.ts";
import { run } from "../tools/run.ts";
import { removeNspawnFiles } from "./server-power.ts";
import { unmountBelow } from "./server-root.ts";
import { isAbandoned, labDirectory, labsDirectory, listLabIds, loadLabState } from "./state.ts";
import { waitFor } from "./wait.ts";

/**
 * Takes a lab down, whatever is left of it: processes, cgroups, namespaces, mounts, files. It goes by names and never by
 * what the lab remembers, so it also ends a lab that broke off anywhere; a second call finds nothing and does nothing.
 */
export async function removeLab(id: string): Promise<void> {
  const serverNames = existsSync(join(labDirectory(id), "servers"))
    ? readdirSync(join(labDirectory(id), "servers"))
    : [];
  await Promise.all(listCgroups(id).map(destroyCgroup));
  await Promise.all(listNamespaces(id).map(endProcesses));
  for (const namespace of listNamespaces(id)) {
    removeNamespaceFiles(namespace);
    await removeNamespace(namespace);
  }
  for (const name of serverNames) removeNspawnFiles(id, name);
  await unmountBelow(labDirectory(id));
  rmSync(labDirectory(id), { recursive: true, force: true });
  await removeSharedRemains();
}

/**
 * Everything on this machine that bears a lab's name, a line each: namespaces, cgroups, mounts, files, processes. Empty
 * after `removeLab`.
 */
export function findRemains(id: string): string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const files = [labDirectory(id), ...listByPrefix("/etc/netns", `${namePrefix}${id}.`)].concat(
    ...["propagate", "unix-export", "locks"].map((folder) =>
      listByPrefix(join("/run/systemd/nspawn", folder), `${namePrefix}${id}-`),
    ),
  );
  return [
    ...listNamespaces(id).flatMap((name) => [
      `namespace ${name}`,
      ...processesIn(name).map((pid) => `process ${pid} in ${name}`),
    ]),
    ...listCgroups(id).map((path) => `cgroup ${path}`),
    ...mounts.filter((line) => line.includes(`${labDirectory(id)}/`)).map((line) => `mount ${line.split(" ")[1]}`),
    ...files.filter((path) => existsSync(path)).map((path) => `file ${path}`),
  ];
}

function listByPrefix(folder: string, prefix: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(folder, name));
}

/** Ids of all labs of which anything is left on this machine. */
export function findLabIds(): string[] {
  const fromNames = [...listNamespaces(), ...listCgroups().map((path) => basename(path))].map(
    (name) => name.slice(namePrefix.length).split(".")[0] as string,
  );
  return [...new Set([...listLabIds(), ...fromNames])].sort();
}

/** Takes down the labs whose process ended without doing so (it was killed); returns their ids. */
export async function removeAbandonedLabs(): Promise<string[]> {
  const abandoned = listLabIds().filter((id) => {
    const state = loadLabState(id);
    return state !== null && isAbandoned(state);
  });
  for (const id of abandoned) await removeLab(id);
  return abandoned;
}

/** Ends the processes in a namespace of a lab: each is checked to be the one that was found there. */
async function endProcesses(namespace: string): Promise<void> {
  await waitFor(
    () => {
      const found = processesIn(namespace).map(identifyProcess);
      for (const process of found) if (process !== null) signalProcess(process, "SIGKILL");
      return found.length === 0;
    },
    { timeoutMs: 10_000, what: `the end of the processes in ${namespace}`, intervalMs: 10 },
  );
}

/** What labs share goes with the last of them. */
async function removeSharedRemains(): Promise<void> {
  await withLock(registryLock(), async () => {
    if (listLabIds().length > 0) return;
    removeMadeSshFolder();
    const nspawn = ["locks", "propagate", "unix-export", ""].map((folder) => join("/run/systemd/nspawn", folder));
    for (const folder of [...nspawn, "/etc/netns", labsDirectory]) removeIfEmpty(folder);
    // `ip netns add` mounts this folder on itself; without namespaces nobody needs that.
    if (existsSync("/run/netns") && readdirSync("/run/netns").length === 0) {
      await run(["umount", "/run/netns"]);
      removeIfEmpty("/run/netns");
    }
  });
}

/** Held while the folder of all labs comes or goes. */
export function registryLock(): string {
  return join(imageDirectory(), ".registry.lock");
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not empty, or not there.
  }
}
