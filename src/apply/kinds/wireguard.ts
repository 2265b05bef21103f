import { PATHS } from "../../model/paths.ts";
import { INTERFACE, PORTS } from "../../model/ports.ts";
import { known } from "../../model/reading.ts";
import { UNITS } from "../../model/units.ts";
import {
  planWireguard,
  WIREGUARD_KIND,
  wireguardNotes,
  type PeerChange,
  type WireguardAction,
  type WireguardObserved,
} from "../../plan/kinds/wireguard.ts";
import type { Step } from "../../plan/step.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { seeFile } from "../managed-file.ts";
import { loadWireGuardPublicKey } from "../wireguard-key.ts";
import { observeTunnel } from "../wireguard-tunnel.ts";
import { runChecked } from "../programs.ts";
import { observeUnit } from "../units.ts";

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
  const { host } = context;
  switch (action.op) {
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
  }
}

/**
 * Enables the unit, and starts it when there is no interface. It restarts, since systemd may still count a unit as active whose
 * interface was deleted; without an interface there is no tunnel that a restart could take down.
 */
async function start(context: ApplyContext): Promise<void> {
  const { host } = context;
  const tunnel = known(await observeTunnel(host), INTERFACE);
  await context.remember(UNITS.tunnel, null);
  await runChecked(host, ["systemctl", "enable", UNITS.tunnel]);
  if (tunnel !== undefined) return;
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

/** Takes the tunnel down through its unit, which also removes its routes, and by hand if somebody else brought it up. */
async function stop(context: ApplyContext): Promise<void> {
  const { host } = context;
  await runChecked(host, ["systemctl", "disable", "--now", UNITS.tunnel]);
  const tunnel = known(await observeTunnel(host), INTERFACE);
  if (tunnel !== undefined) await runChecked(host, ["ip", "link", "delete", "dev", INTERFACE]);
  await context.forget(UNITS.tunnel);
}
