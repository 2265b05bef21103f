import { PATHS } from "../../model/paths.ts";
import { INTERFACE, PORTS } from "../../model/ports.ts";
import { UNITS } from "../../model/units.ts";
import {
  planWireguard,
  WIREGUARD_KIND,
  wireguardConfigFile,
  wireguardNotes,
  type PeerChange,
  type WireguardAction,
  type WireguardObserved,
} from "../../plan/kinds/wireguard.ts";
import { manifestEntry } from "../../plan/manifest.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { restoreManaged, seeFile, writeManaged } from "../managed-file.ts";
import { runChecked } from "../run-checked.ts";
import { observeUnit } from "../unit-state.ts";
import { loadWireGuardPublicKey } from "../wireguard-key.ts";
import { observeTunnel } from "../wireguard-tunnel.ts";

/**
 * The tunnel: jiji0.conf, wg-quick's unit and the peers of the running interface. A tunnel that is up is never
 * taken down or restarted, whatever changes; only teardown does that.
 */
export const wireguardKind: ResourceKind<WireguardObserved, WireguardAction> = {
  kind: WIREGUARD_KIND,
  observe,
  plan: planWireguard,
  execute,
  notes: wireguardNotes,
};

async function observe(host: Host): Promise<WireguardObserved> {
  const [key, config, unit, tunnel] = await Promise.all([
    loadWireGuardPublicKey(host.files),
    seeFile(host.files, PATHS.wireguardConfig),
    observeUnit(host, UNITS.tunnel),
    observeTunnel(host),
  ]);
  return { key, config, unit, tunnel };
}

async function execute({ action }: Step<WireguardAction>, context: ApplyContext): Promise<void> {
  const { host, goal } = context;
  switch (action.op) {
    case "write":
      if (goal.phase === "join") await writeManaged(context, wireguardConfigFile(goal));
      return;
    case "start":
      return start(context);
    case "set-key":
      await runChecked(host, ["wg", "set", INTERFACE, "private-key", PATHS.wireguardKey]);
      return;
    case "set-port":
      await runChecked(host, ["wg", "set", INTERFACE, "listen-port", String(PORTS.wireguard)]);
      return;
    case "set-link":
      await runChecked(host, ["ip", "link", "set", "dev", INTERFACE, "mtu", String(action.mtuBytes), "up"]);
      return;
    case "set-address":
      await runChecked(host, ["ip", "-4", "addr", "replace", `${action.address}/32`, "dev", INTERFACE]);
      return;
    case "set-peer":
      return setPeer(host, action.change);
    case "await-peer":
      throw new Error("a peer without a key cannot be added");
    case "stop":
      return stop(context);
    case "restore":
      return restore(context, action.path);
  }
}

/**
 * Enables the unit, and starts it when there is no interface. One that still counts as active although its interface
 * was deleted is restarted, as nothing is up that this could take down.
 */
async function start(context: ApplyContext): Promise<void> {
  const { host } = context;
  const before = await observeUnit(host, UNITS.tunnel);
  await context.remember(UNITS.tunnel, before.state === "found" ? before.value : null);
  await runChecked(host, ["systemctl", "enable", UNITS.tunnel]);
  const tunnel = await observeTunnel(host);
  if (tunnel.state !== "absent") return;
  await runChecked(host, ["systemctl", "restart", UNITS.tunnel], { hint: `journalctl -u ${UNITS.tunnel} -n 50` });
}

async function setPeer(host: Host, change: PeerChange): Promise<void> {
  await runChecked(host, [
    "wg",
    "set",
    INTERFACE,
    "peer",
    change.publicKey,
    ...(change.endpoint === undefined ? [] : ["endpoint", change.endpoint]),
    ...(change.keepaliveSeconds === undefined ? [] : ["persistent-keepalive", String(change.keepaliveSeconds)]),
    ...(change.allowedIps === undefined ? [] : ["allowed-ips", change.allowedIps]),
  ]);
}

/** Takes the tunnel down by its unit, which also removes its routes; and by hand if somebody else had brought it up. */
async function stop(context: ApplyContext): Promise<void> {
  const { host } = context;
  await runChecked(host, ["systemctl", "disable", "--now", UNITS.tunnel]);
  const tunnel = await observeTunnel(host);
  if (tunnel.state === "found") await runChecked(host, ["ip", "link", "delete", "dev", INTERFACE]);
  await context.forget(UNITS.tunnel);
}

async function restore(context: ApplyContext, path: string): Promise<void> {
  const entry = manifestEntry(context.manifest(), WIREGUARD_KIND, path);
  if (entry !== undefined) await restoreManaged(context.host, path, entry.before);
  await context.forget(path);
}
