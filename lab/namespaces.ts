import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mustRun, run } from "../tools/run.ts";

/** Begins the name of everything the lab makes that has a machine-wide name: namespaces and cgroups. */
export const namePrefix = "jiji-lab-";
export const operatorOctet = 254;
/** The public network of every lab: TEST-NET-2. */
export const publicNetwork = "198.51.100";

/** Name of the network namespace of a server (`s-web1`), the `switch` or the `operator` of a lab. */
export function namespaceName(id: string, part: "switch" | "operator" | `s-${string}`): string {
  return `${namePrefix}${id}.${part}`;
}

export function namespacePath(name: string): string {
  return `/run/netns/${name}`;
}

export function publicAddress(octet: number): string {
  return `${publicNetwork}.${octet}`;
}

/** The switch's end of a member's cable. */
export function portName(member: string): string {
  return `p-${member}`;
}

/** `ip` inside a namespace. */
export async function ip(namespace: string, ...argv: string[]): Promise<string> {
  return await mustRun(["ip", "-n", namespace, ...argv]);
}

/**
 * Makes the switch of a lab: a bridge in a namespace of its own. Its address .1 is everybody's default gateway and
 * knows no other network, so what leaves for the world is answered at once with "network unreachable".
 */
export async function makeSwitch(id: string): Promise<void> {
  const name = namespaceName(id, "switch");
  await mustRun(["ip", "netns", "add", name]);
  await ip(name, "link", "set", "lo", "up");
  await ip(name, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0");
  await ip(name, "link", "set", "br0", "up");
  await ip(name, "address", "add", `${publicAddress(1)}/24`, "dev", "br0");
  await ip(name, "route", "add", "unreachable", "default");
  await writeSysctls(name, { "net/ipv4/ip_forward": "1" });
}

/**
 * Makes a namespace with a cable to the switch: `eth0` with 198.51.100.`octet`. Nothing is inherited from the machine:
 * forwarding is off, as on a fresh server. The cable never exists in the machine's own namespace.
 */
export async function plugIn(id: string, namespace: string, member: string, octet: number): Promise<void> {
  const switchName = namespaceName(id, "switch");
  const port = portName(member);
  await mustRun(["ip", "netns", "add", namespace]);
  await writeSysctls(namespace, {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
  });
  const mac = `02:00:c6:33:64:${octet.toString(16).padStart(2, "0")}`;
  const peer = ["type", "veth", "peer", "name", "eth0", "address", mac, "netns", namespace];
  await ip(switchName, "link", "add", port, ...peer);
  await ip(switchName, "link", "set", port, "master", "br0", "up");
  await ip(namespace, "link", "set", "lo", "up");
  await ip(namespace, "link", "set", "eth0", "up");
  await ip(namespace, "address", "add", `${publicAddress(octet)}/24`, "broadcast", "+", "dev", "eth0");
  await ip(namespace, "route", "add", "default", "via", publicAddress(1));
}

/** Removes a namespace made by `plugIn` and its cable; what is gone already is no error. */
export async function unplug(id: string, namespace: string, member: string): Promise<void> {
  await run(["ip", "-n", namespaceName(id, "switch"), "link", "delete", portName(member)]);
  await removeNamespace(namespace);
}

/** Removes a namespace's name; it ends with the last process in it. */
export async function removeNamespace(name: string): Promise<void> {
  if (existsSync(namespacePath(name))) await mustRun(["ip", "netns", "delete", name]);
}

/**
 * Stops or lets pass everything on a port of the switch, both ways. The member sees a link that is up and silent, as a
 * server does whose provider has an outage.
 */
export async function setLinkPassing(id: string, port: string, passing: boolean): Promise<void> {
  const state = passing ? "forwarding" : "disabled";
  const link = ["link", "set", "dev", port, "state", state];
  await mustRun(["bridge", "-n", namespaceName(id, "switch"), ...link]);
}

/** Names of the namespaces of a lab, or of all labs. */
export function listNamespaces(id?: string): string[] {
  const prefix = id === undefined ? namePrefix : `${namePrefix}${id}.`;
  if (!existsSync("/run/netns")) return [];
  return readdirSync("/run/netns").filter((name) => name.startsWith(prefix));
}

/** Ids of the processes whose network namespace is this one. */
export function processesIn(namespace: string): number[] {
  const path = namespacePath(namespace);
  if (!existsSync(path)) return [];
  const wanted = `net:[${statSync(path).ino}]`;
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => networkOf(pid) === wanted);
}

/** What every program in a namespace finds in /etc when it is started by `ip netns exec`. */
export function writeNamespaceFiles(namespace: string, files: Record<string, string>): void {
  mkdirSync(`/etc/netns/${namespace}`, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(`/etc/netns/${namespace}/${file}`, text);
}

export function removeNamespaceFiles(namespace: string): void {
  rmSync(`/etc/netns/${namespace}`, { recursive: true, force: true });
}

function networkOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return null;
  }
}

/** Sets sysctls of a namespace, by their paths below /proc/sys. */
export async function writeSysctls(namespace: string, values: Record<string, string>): Promise<void> {
  for (const [path, value] of Object.entries(values)) {
    await mustRun(["ip", "netns", "exec", namespace, "tee", `/proc/sys/${path}`], { input: value });
  }
}
