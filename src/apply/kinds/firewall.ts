import { parseClusterCidr, type ClusterCidr } from "../../model/cluster.ts";
import { PATHS } from "../../model/paths.ts";
import { unitFile, UNITS } from "../../model/units.ts";
import {
  FIREWALL_KIND,
  FIREWALL_TARGETS,
  planFirewall,
  type FirewallAction,
  type FirewallObserved,
} from "../../plan/kinds/firewall.ts";
import { OWN_CHAINS, strayHooks, type DesiredChains } from "../../plan/firewall-hooks.ts";
import { hookState, targetOf, type FilterTable } from "../../plan/iptables-filter.ts";
import type { ManagedFileAction } from "../../plan/managed-file.ts";
import type { Step } from "../../plan/step.ts";
import { GUARD_METRIC, guardRoute, guardRules } from "../../render/guard-routes.ts";
import { renderIptablesChains } from "../../render/iptables-chains.ts";
import { FILTER_TABLE } from "../../render/packet-filter.ts";
import type { Host } from "../../system/host.ts";
import { known } from "../../model/reading.ts";
import { observeFilter, observeFirewall, observeGuardRoutes, observeGuardRules } from "../firewall-live.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { runChecked } from "../programs.ts";
import { reloadUnits } from "../units.ts";

/**
 * The packet filter: our own nftables table, our own chains where iptables may drop, the routes that guard the cluster
 * without any filter, and the unit that loads all of them at boot. No rule of anybody else is ever changed.
 */
export const firewallKind: ResourceKind<FirewallObserved, FirewallAction> = {
  kind: FIREWALL_KIND,
  observe: observeFirewall,
  plan: planFirewall,
  execute,
  aroundFile,
};

async function execute({ action }: Step<FirewallAction>, context: ApplyContext): Promise<void> {
  const { host } = context;
  switch (action.op) {
    case "guard":
      return guard(context, action.cluster);
    case "unguard":
      return unguard(context);
    case "load":
      await context.remember(action.what === "packets" ? FIREWALL_TARGETS.table : FIREWALL_TARGETS.frames, null);
      await runChecked(host, ["nft", "-f", action.what === "packets" ? PATHS.firewall : PATHS.firewallFrames]);
      return;
    case "unload":
      return unload(context, action.what);
    case "chains":
      return setChains(context, action.family, action.wanted);
    case "start":
      await context.remember(UNITS.firewall, null);
      await reloadUnits(host);
      await runChecked(host, ["systemctl", "enable", "--now", UNITS.firewall], {
        hint: `journalctl -u ${UNITS.firewall} -n 50`,
      });
      return;
    case "stop":
      await runChecked(host, ["systemctl", "disable", "--now", UNITS.firewall]);
      return context.forget(UNITS.firewall);
  }
}

/** The reload of all other unit files is a step of the file kind, which came before. */
async function aroundFile(
  { path }: ManagedFileAction,
  change: () => Promise<void>,
  { host }: ApplyContext,
): Promise<void> {
  await change();
  if (path === unitFile(UNITS.firewall)) await reloadUnits(host);
}

async function guard(context: ApplyContext, cluster: ClusterCidr): Promise<void> {
  const { host } = context;
  const other = guardedCluster(context);
  await context.remember(FIREWALL_TARGETS.guard, { cluster });
  await runChecked(host, ["ip", "route", "replace", ...guardRoute(cluster)]);
  await clearGuardRules(host);
  for (const rule of guardRules(cluster)) await runChecked(host, ["ip", "rule", "add", ...rule.args]);
  if (other !== undefined && other !== cluster) await removeGuardRoute(host, other);
}

async function unguard(context: ApplyContext): Promise<void> {
  const { host } = context;
  await clearGuardRules(host);
  const cluster = guardedCluster(context);
  if (cluster !== undefined) await removeGuardRoute(host, cluster);
  await context.forget(FIREWALL_TARGETS.guard);
}

function guardedCluster({ before }: ApplyContext): ClusterCidr | undefined {
  const entry = before(FIREWALL_TARGETS.guard);
  const value = typeof entry === "object" && entry !== null && "cluster" in entry ? entry.cluster : undefined;
  return typeof value === "string" ? parseClusterCidr(value) : undefined;
}

async function clearGuardRules(host: Host): Promise<void> {
  for (const { preference } of known(await observeGuardRules(host), "the routing rules") ?? []) {
    await runChecked(host, ["ip", "rule", "del", "pref", String(preference)]);
  }
}

async function removeGuardRoute(host: Host, cluster: ClusterCidr): Promise<void> {
  const guarded = known(await observeGuardRoutes(host), "the routes") ?? [];
  if (!guarded.includes(cluster)) return;
  await runChecked(host, ["ip", "route", "del", "unreachable", cluster, "metric", String(GUARD_METRIC)]);
}

async function unload(context: ApplyContext, what: "packets" | "frames"): Promise<void> {
  const { host } = context;
  const table = `table ${what === "packets" ? "inet" : "bridge"} ${FILTER_TABLE}`;
  // `add` first, so that a table that is gone already is no failure
  await runChecked(host, ["nft", "-f", "-"], { input: `add ${table}\ndelete ${table}\n` });
  await context.forget(what === "packets" ? FIREWALL_TARGETS.table : FIREWALL_TARGETS.frames);
}

async function setChains(context: ApplyContext, family: 4 | 6, wanted: DesiredChains): Promise<void> {
  const { host, goal } = context;
  const target = family === 4 ? FIREWALL_TARGETS.chains4 : FIREWALL_TARGETS.chains6;
  const table = known(await observeFilter(host, family), target);
  const makesDockerUser = table !== undefined && wanted.hooks.some(({ from }) => isMissingDockerUser(table, from));
  await context.remember(target, makesDockerUser ? { made: DOCKER_USER } : null);
  if (table !== undefined) {
    const iptables = family === 4 ? "iptables" : "ip6tables";
    await changeChains(host, iptables, table, wanted);
    const hasMade = hasMadeDockerUser(context.before(target));
    if (goal.phase === "teardown" && hasMade) await removeUnusedDockerUser(host, iptables);
  }
  if (goal.phase === "teardown") await context.forget(target);
}

const DOCKER_USER = "DOCKER-USER";

/** Docker is installed and has not run since the boot. We make its chain; Docker keeps a chain that it finds. */
function isMissingDockerUser(table: FilterTable, from: string): boolean {
  return from === DOCKER_USER && !table.rules.has(from);
}

function hasMadeDockerUser(before: unknown): boolean {
  return typeof before === "object" && before !== null && "made" in before && before.made === DOCKER_USER;
}

/** Once Docker has started, it calls the chain, and the chain is Docker's own. */
async function removeUnusedDockerUser(host: Host, iptables: "iptables" | "ip6tables"): Promise<void> {
  const table = known(await observeFilter(host, iptables === "iptables" ? 4 : 6), DOCKER_USER);
  if (table?.rules.get(DOCKER_USER)?.length !== 0) return;
  const isCalled = [...table.rules.values()].flat().some((rule) => targetOf(rule) === DOCKER_USER);
  if (!isCalled) await runChecked(host, [iptables, "-w", "10", "-X", DOCKER_USER]);
}

async function changeChains(
  host: Host,
  iptables: "iptables" | "ip6tables",
  table: FilterTable,
  wanted: DesiredChains,
): Promise<void> {
  const run = (...args: readonly string[]): Promise<unknown> => runChecked(host, [iptables, "-w", "10", ...args]);
  if (wanted.chains.length > 0) {
    await runChecked(host, [`${iptables}-restore`, "-w", "10", "--noflush"], {
      input: renderIptablesChains(wanted.chains),
    });
  }
  for (const { from, to } of wanted.hooks) {
    const { positions, isRight } = hookState(table, from, to, OWN_CHAINS);
    if (isRight) continue;
    if (isMissingDockerUser(table, from)) await run("-N", from);
    await run("-I", from, "1", "-j", to);
    // the others have moved down by one; from the last, so that the rest keep their places
    for (const position of positions.toReversed()) await run("-D", from, String(position + 1));
  }
  for (const { from, to } of strayHooks(table, wanted)) {
    const { positions } = hookState(table, from, to, OWN_CHAINS);
    for (const position of positions.toReversed()) await run("-D", from, String(position));
  }
  for (const name of OWN_CHAINS) {
    if (!table.rules.has(name) || wanted.chains.some((chain) => chain.name === name)) continue;
    await run("-F", name);
    await run("-X", name);
  }
}
