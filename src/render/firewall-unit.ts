import type { ClusterCidr } from "../model/cluster.ts";
import { PATHS } from "../model/paths.ts";
import { guardRoute, guardRules } from "./guard-routes.ts";
import { UNITS } from "../model/units.ts";
import type { FORWARD_CHAIN, INPUT_CHAIN } from "./iptables-chains.ts";
import { renderUnitFile } from "./unit-file.ts";

/** The chains of somebody else from which one of ours is called. */
export type HookChain = "INPUT" | "FORWARD" | "DOCKER-USER";

export interface IptablesHook {
  readonly family: 4 | 6;
  readonly from: HookChain;
  readonly to: typeof INPUT_CHAIN | typeof FORWARD_CHAIN;
}

export interface FirewallUnit {
  readonly cluster: ClusterCidr;
  /** empty: nothing in iptables may drop, so nothing of ours is there */
  readonly hooks: readonly IptablesHook[];
}

/**
 * /etc/systemd/system/jiji-firewall.service: at boot everything that guards the cluster is there before the network,
 * the tunnel and the engine, and after those that begin by flushing everybody's rules. Plain commands, so that it
 * works with whatever else of jiji is broken.
 *
 * Docker keeps a DOCKER-USER that it finds, so ours may be made first.
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
