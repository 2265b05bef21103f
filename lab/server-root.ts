import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { operatorOctet, publicAddress } from "./namespaces.ts";
import { mustRun, run } from "../tools/run.ts";
import { serverDirectory, type ServerState } from "./state.ts";

/** Path of a server's root file system on the machine. */
export function serverRoot(id: string, name: string): string {
  return join(serverDirectory(id, name), "root");
}

/** Folders in which engines keep layers: an overlay cannot stand on an overlay, so each is a real folder bound in. */
const engineStorage: readonly string[] = ["docker", "containerd", "containers"];

/**
 * Makes a server's root file system: an overlay on the base image, mounted until `unmountServerRoot`, and what differs
 * from server to server. `volatile` spares the disk the writes that only matter if this machine itself crashes.
 */
export async function makeServerRoot(id: string, state: ServerState, publicKey: string): Promise<void> {
  const directory = serverDirectory(id, state.name);
  const root = serverRoot(id, state.name);
  for (const folder of ["upper", "work", "root"]) mkdirSync(join(directory, folder), { recursive: true });
  const layers = `lowerdir=${state.image},upperdir=${directory}/upper,workdir=${directory}/work,volatile`;
  await mustRun(["mount", "-t", "overlay", "overlay", "-o", layers, root]);
  for (const folder of engineStorage) {
    const inside = join(root, "var/lib", folder);
    if (!wantsStorage(state, folder)) continue;
    const outside = join(directory, folder);
    mkdirSync(outside, { recursive: true });
    mkdirSync(inside, { recursive: true });
    chmodSync(outside, folder === "containers" ? 0o755 : 0o710);
    await mustRun(["mount", "--bind", outside, inside]);
  }
  await writeIdentity(root, directory, state, publicKey);
}

/** The server's public ssh host key, as it stands in known_hosts: type and base64. */
export function hostKey(id: string, name: string): string {
  const line = readFileSync(join(serverDirectory(id, name), "host_key.pub"), "utf8");
  return line.split(" ").slice(0, 2).join(" ").trim();
}

/** Unmounts what `makeServerRoot` mounted, in any state of completeness. */
export async function unmountBelow(directory: string): Promise<void> {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[1] ?? "").replace(/\\040/g, " "))
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
  for (const path of mounts.reverse()) {
    const result = await run(["umount", path]);
    if (result.code !== 0) await mustRun(["umount", "--lazy", path]);
  }
}

function wantsStorage(state: ServerState, folder: string): boolean {
  const docker = state.engine === "docker" || state.engine === "both";
  const podman = state.engine === "podman" || state.engine === "both";
  return folder === "containers" ? podman : docker;
}

async function writeIdentity(root: string, directory: string, state: ServerState, publicKey: string): Promise<void> {
  const text = (path: string, content: string, mode = 0o644) => {
    rmSync(join(root, path), { force: true });
    writeFileSync(join(root, path), content, { mode });
    chmodSync(join(root, path), mode);
  };
  text("etc/hostname", `${state.name}\n`);
  text("etc/hosts", `127.0.0.1 localhost\n127.0.1.1 ${state.name}\n::1 localhost ip6-localhost ip6-loopback\n`);
  text("etc/machine-id", `${crypto.randomUUID().replaceAll("-", "")}\n`, 0o444);
  text("etc/resolv.conf", `nameserver ${publicAddress(operatorOctet)}\n`);
  const key = join(directory, "host_key");
  await mustRun(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", `root@${state.name}`, "-f", key]);
  text("etc/ssh/ssh_host_ed25519_key", readFileSync(key, "utf8"), 0o600);
  text("etc/ssh/ssh_host_ed25519_key.pub", readFileSync(`${key}.pub`, "utf8"));
  const passwd = readFileSync(join(root, "etc/passwd"), "utf8").split("\n");
  for (const user of ["root", "deploy", "plain"]) {
    const fields = passwd.find((line) => line.startsWith(`${user}:`))?.split(":");
    if (fields === undefined) throw new Error(`the base image has no user ${user}`);
    const [uid, gid, home] = [Number(fields[2]), Number(fields[3]), fields[5] as string];
    const folder = join(root, home, ".ssh");
    if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
    chmodSync(folder, 0o700);
    writeFileSync(join(folder, "authorized_keys"), publicKey, { mode: 0o600 });
    for (const path of [folder, join(folder, "authorized_keys")]) chownSync(path, uid, gid);
  }
}
