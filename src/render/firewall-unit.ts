import type { ClusterCidr } from "../model/cluster.ts";
import { PATHS } from "../model/paths.ts";
import { guardRoute, guardRules } from "./guard-routes.ts";
import { UNITS } from "../model/units.ts";
import type { FORWARD_CHAIN, INPUT_CHAIN } from "./iptables-chains.ts";
import { renderUnitFile } from "./unit-file.ts";

/** A call of one of our chains from somebody else's. */
export type HookChain = "INPUT" | "FORWARD" | "DOCKER-USER";

export interface IptablesHook {
  readonly family: 4 | 6;
  readonly from: HookChain;
  readonly to: typeof INPUT_CHAIN | typeof FORWARD_CHAIN;
}

export interface FirewallUnit {
  readonly cluster: ClusterCidr;
  /** empty: nothing in iptables may drop, so we need no chain there */
  readonly hooks: readonly IptablesHook[];
}

/**
 * /etc/systemd/system/jiji-firewall.service: at boot it loads everything that guards the cluster, before the network, the
 * tunnel and the engine start, and after services that first flush all rules. It uses plain commands, so that it works
 * even when the rest of jiji is broken.
 *
 * Docker keeps a DOCKER-USER chain that exists already, so this unit may create it first.
 */
export function renderFirewallUnit(unit: FirewallUnit): string {
  return renderUnitFile("Loads packet filter and routes that guard the private network.", {
    Unit: [
      ["Description", "jiji: packet filter and routes that guard the private network"],
      ["DefaultDependencies", "no"],
      ["After", "local-fs.target nftables.service netfilter-persistent.service iptables.service ufw.service"],
      ["Before", `network-pre.target ${UNITS.tunnel} docker.service`],
      ["Before", "podman.service podman.socket podman-restart.service shutdown.target"],
      ["Wants", "network-pre.target"],
      ["Conflicts", "shutdown.target"],
    ],
    Service: [
      ["Type", "oneshot"],
      ["RemainAfterExit", "yes"],
      ["ExecStart", `ip route replace ${guardRoute(unit.cluster).join(" ")}`],
      ...guardRules(unit.cluster).map((rule) => ["ExecStart", `-ip rule add ${rule.args.join(" ")}`] as const),
      ["ExecStart", `nft -f ${PATHS.firewall}`],
      // not every kernel has this family; status says so
      ["ExecStart", `-nft -f ${PATHS.firewallFrames}`],
      ...([4, 6] as const).flatMap((family) => chainCommands(unit.hooks.filter((hook) => hook.family === family))),
    ],
    Install: [["WantedBy", "multi-user.target"]],
  });
}

function chainCommands(hooks: readonly IptablesHook[]): readonly (readonly [string, string])[] {
  const [first] = hooks;
  if (first === undefined) return [];
  const [iptables, file] =
    first.family === 4 ? ["iptables", PATHS.firewallChains4] : ["ip6tables", PATHS.firewallChains6];
  const commands = [
    `${iptables}-restore -w 10 --noflush ${file}`,
    ...hooks.flatMap(({ from, to }) => [
      ...(from === "DOCKER-USER" ? [`-${iptables} -w 10 -N ${from}`] : []),
      `-${iptables} -w 10 -D ${from} -j ${to}`,
      `${iptables} -w 10 -I ${from} 1 -j ${to}`,
    ]),
  ];
  return commands.map((command) => ["ExecStart", command]);
}
