import { readdirSync, readFileSync } from "node:fs";
import { listCgroups } from "./cgroups.ts";

/**
 * What a lab could leave on this machine, one line each: named network namespaces, mounts, cgroups, processes of a
 * container's systemd, files of labs. See {@link leftBehind}.
 */
export async function machineSnapshot(): Promise<readonly string[]> {
  return [
    ...namespaces(),
    ...mounts(),
    ...listCgroups(),
    ...processes(),
    ...folder("/var/tmp", "jiji-lab"),
    ...folder("/run", "jiji-lab"),
  ];
}

/**
 * What appeared between two looks and is still there. Other labs come and go on this machine at the same time: only what
 * bears this lab's id can be told from theirs.
 */
export function leftBehind(before: readonly string[], after: readonly string[], id: string): readonly string[] {
  const isOwn = (line: string): boolean => labsIn(line).includes(id);
  const hasOthers = [...before, ...after].some((line) => labsIn(line).length > 0 && !isOwn(line));
  return after.filter((line) => !before.includes(line)).filter((line) => !hasOthers || isOwn(line));
}

/** Ids of the labs that a line speaks of. */
function labsIn(line: string): string[] {
  return [...line.matchAll(/jiji-lab[-/]([a-z][a-z0-9-]{0,11})/g)].map(([, id = ""]) => id);
}

function namespaces(): string[] {
  return folder("/run/netns", "");
}

function mounts(): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes("jiji"))
    .map((line) => `mount ${line.split(" ")[1]}`);
}

function processes(): string[] {
  return readdirSync("/proc")
    .filter((entry) => /^[0-9]+$/.test(entry))
    .flatMap((pid) => {
      try {
        const commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        if (commandLine === "") return []; // the kernel's own, or one that has ended and waits for its parent to see it
        const cgroup = /^0::.*$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[0] ?? "";
        const isOfLab = /systemd-nspawn|wireguard-go|jiji-lab/.test(commandLine + cgroup);
        return isOfLab ? [`process ${pid} ${commandLine} (${cgroup})`] : [];
      } catch {
        return []; // it ended while we looked
      }
    });
}

function folder(path: string, prefix: string): string[] {
  try {
    return readdirSync(path)
      .filter((entry) => entry.startsWith(prefix))
      .map((entry) => `${path}/${entry}`);
  } catch {
    return [];
  }
}
