import { INTERFACE } from "../model/ports.ts";
import { UNITS } from "../model/units.ts";
import { renderUnitFile } from "./unit-file.ts";

/**
 * wg-quick@jiji0.service, as a whole file of jiji's own in place of the distribution's template. That one waits for
 * network-online.target, which takes minutes while a cable is unplugged; jiji0.conf needs neither a resolver nor an
 * address. A start that fails is tried again for ever, and an interface that is there already counts as started, since
 * wg-quick refuses it.
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
