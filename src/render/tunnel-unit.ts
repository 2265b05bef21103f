import { INTERFACE } from "../model/ports.ts";
import { UNITS } from "../model/units.ts";
import { renderUnitFile } from "./unit-file.ts";

/**
 * wg-quick@jiji0.service, a complete unit instead of the distribution's template. The template waits for
 * network-online.target, which takes minutes while a cable is unplugged; jiji0.conf needs neither a resolver nor an
 * address. systemd repeats a failed start for ever. An interface that exists already counts as started, since wg-quick
 * would refuse it.
 *
 * The agent is ordered after it: two programs that add the same route at the same time made wg-quick fail, and wg-quick
 * deletes the interface when it fails. At a stop the order is reversed, so the agent's farewell leaves through the tunnel.
 */
export function renderTunnelUnit(): string {
  return renderUnitFile("Brings up the WireGuard tunnel between the servers.", {
    Unit: [
      ["Description", `jiji: WireGuard tunnel ${INTERFACE}`],
      ["After", `network-pre.target ${UNITS.firewall}`],
      ["Before", UNITS.agent],
      ["StartLimitIntervalSec", "0"],
    ],
    Service: [
      ["Type", "oneshot"],
      ["RemainAfterExit", "yes"],
      ["ExecStart", `/bin/sh -c "[ -e /sys/class/net/${INTERFACE} ] || exec wg-quick up ${INTERFACE}"`],
      ["ExecStop", `-wg-quick down ${INTERFACE}`],
      ["TimeoutStartSec", "60"],
      ["Restart", "on-failure"],
      ["RestartSec", "1"],
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}
