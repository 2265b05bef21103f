import { readdirSync, readFileSync } from "node:fs";

/**
 * What a lab could leave on this machine, one line each: named network namespaces, mounts, processes of a container's
 * systemd, files of labs. Compare two of them to see what a run left behind.
 */
export async function machineSnapshot(): Promise<readonly string[]> {
  return [
    ...namespaces(),
    ...mounts(),
    ...processes(),
    ...folder("/var/tmp", "jiji-lab"),
    ...folder("/run", "jiji-lab"),
  ];
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
        return /systemd-nspawn|wireguard-go|jiji-lab/.test(commandLine) ? [`process ${pid} ${commandLine}`] : [];
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
