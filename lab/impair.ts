import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startDetached } from "./detached.ts";
import { ToolError } from "../tools/errors.ts";
import { ip, namespaceName, portName, setLinkPassing, writeSysctls } from "./namespaces.ts";
import { isAlive, signalProcess } from "./process-identity.ts";
import { mustRun, run } from "../tools/run.ts";
import { type Impairment, loadServerState, serverDirectory, updateServerState } from "./state.ts";
import { waitFor } from "./wait.ts";

/** The two ends of the second cable of an impaired link: the forwarder's, and the switch's. */
const innerPort = (member: string) => `i-${member}`;
const outerPort = (member: string) => `o-${member}`;

/** The interface by which a server hangs on the switch's bridge. */
export function bridgePort(id: string, name: string): string {
  return loadServerState(id, name).forwarder === null ? portName(name) : outerPort(name);
}

/**
 * Delays every frame on a server's public link by `delayMs` each way and drops `lossPercent` of them each way; null ends
 * both. Survives a reboot. The server's own interface stays as it is, except for its offloads.
 */
export async function impairLink(id: string, name: string, impairment: Impairment | null): Promise<void> {
  if (impairment !== null && (impairment.delayMs < 0 || impairment.lossPercent < 0 || impairment.lossPercent > 100)) {
    throw new ToolError(`${name}: a delay is at least 0 ms, a loss 0 to 100 percent`);
  }
  const state = updateServerState(id, name, { impairment });
  if (state.nspawn === null || !isAlive(state.nspawn)) return;
  await stopForwarder(id, name);
  if (impairment !== null) await startForwarder(id, name, impairment);
  else await ip(namespaceName(id, "switch"), "link", "set", portName(name), "master", "br0");
  if (state.cut) await setLinkPassing(id, bridgePort(id, name), false);
}

/**
 * Puts a forwarder into a server's link:
 *
 *     server eth0 ── p-NAME  forwarder  i-NAME ── o-NAME  bridge
 */
export async function startForwarder(id: string, name: string, impairment: Impairment): Promise<void> {
  const switchName = namespaceName(id, "switch");
  const [cable, inner, outer] = [portName(name), innerPort(name), outerPort(name)];
  await ip(switchName, "link", "set", cable, "nomaster");
  await ip(switchName, "link", "add", inner, "type", "veth", "peer", "name", outer);
  // A program reads the frames here: they must be whole, with checksums, and the kernel must not answer them as well.
  const quiet = [cable, inner].flatMap((port) => [
    [`net/ipv4/conf/${port}/arp_ignore`, "8"] as const,
    [`net/ipv6/conf/${port}/disable_ipv6`, "1"] as const,
  ]);
  await writeSysctls(switchName, Object.fromEntries(quiet));
  await switchOffloadsOff(namespaceName(id, `s-${name}`), "eth0");
  for (const port of [cable, inner, outer]) await switchOffloadsOff(switchName, port);
  await ip(switchName, "link", "set", outer, "master", "br0", "up");
  await ip(switchName, "link", "set", inner, "up");
  const ready = join(serverDirectory(id, name), "forwarder.ready");
  rmSync(ready, { force: true });
  const script = join(import.meta.dir, "frame-forwarder.ts");
  const settings = [cable, inner, String(impairment.delayMs), String(impairment.lossPercent), ready];
  const forwarder = await startDetached(
    ["ip", "netns", "exec", switchName, process.execPath, "--no-env-file", script, ...settings],
    { log: join(serverDirectory(id, name), "forwarder.log") },
  );
  updateServerState(id, name, { forwarder });
  await waitFor(() => existsSync(ready), { timeoutMs: 20_000, what: `the forwarder of ${name}`, intervalMs: 10 });
}

/** Takes the forwarder out of a server's link again; the cable is then joined to nothing. None there: no error. */
export async function stopForwarder(id: string, name: string): Promise<void> {
  const { forwarder } = loadServerState(id, name);
  if (forwarder === null) return;
  signalProcess(forwarder, "SIGKILL");
  await run(["ip", "-n", namespaceName(id, "switch"), "link", "delete", innerPort(name)]);
  updateServerState(id, name, { forwarder: null });
}

async function switchOffloadsOff(namespace: string, device: string): Promise<void> {
  const features = ["tx", "gso", "tso", "gro"].flatMap((feature) => [feature, "off"]);
  await mustRun(["ip", "netns", "exec", namespace, "ethtool", "-K", device, ...features]);
}
