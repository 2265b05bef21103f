import { serverAddress } from "../model/cluster.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import type { IptablesHook } from "../render/firewall-unit.ts";
import { FORWARD_CHAIN, forwardChain, INPUT_CHAIN, inputChain, type IptablesChain } from "../render/iptables-chains.ts";
import { chainMayDrop, hookState, type FilterTable } from "./iptables-filter.ts";

/** Our own chains; they only accept. */
export const OWN_CHAINS: ReadonlySet<string> = new Set([INPUT_CHAIN, FORWARD_CHAIN]);

/** Our chains in the filter table of iptables or ip6tables, and the calls of them. */
export interface DesiredChains {
  readonly chains: readonly IptablesChain[];
  readonly hooks: readonly IptablesHook[];
}

export const NO_CHAINS: DesiredChains = { chains: [], hooks: [] };

/**
 * Our chains where something else may drop: INPUT of both families, and FORWARD, or DOCKER-USER where Docker is
 * installed: it sets a DROP policy whenever it starts, and calls DOCKER-USER before all of its own. `table` is
 * undefined where iptables is not installed, so that nothing can drop there.
 */
export function desiredChains(
  family: 4 | 6,
  spec: NodeSpec,
  table: FilterTable | undefined,
  hasDocker: boolean,
): DesiredChains {
  if (table === undefined) return NO_CHAINS;
  const chains: IptablesChain[] = [];
  const hooks: IptablesHook[] = [];
  if (chainMayDrop(table, "INPUT", OWN_CHAINS)) {
    chains.push(inputChain(family, serverAddress(spec.cluster.cidr, spec.subnet)));
    hooks.push({ family, from: "INPUT", to: INPUT_CHAIN });
  }
  const forwardFrom =
    hasDocker || table.rules.has("DOCKER-USER")
      ? "DOCKER-USER"
      : chainMayDrop(table, "FORWARD", OWN_CHAINS)
        ? "FORWARD"
        : undefined;
  if (family === 4 && forwardFrom !== undefined) {
    chains.push(forwardChain(spec.engine));
    hooks.push({ family, from: forwardFrom, to: FORWARD_CHAIN });
  }
  return { chains, hooks };
}

/** What is not as desired, for people; empty when all is. */
export function chainDifferences(table: FilterTable | undefined, desired: DesiredChains): readonly string[] {
  if (table === undefined) return [];
  const differences: string[] = [];
  for (const name of OWN_CHAINS) {
    const chain = desired.chains.find((each) => each.name === name);
    const live = table.rules.get(name);
    if (chain === undefined && live !== undefined) differences.push(`remove chain ${name}`);
    if (chain === undefined || live?.join("\n") === chain.rules.join("\n")) continue;
    differences.push(live === undefined ? `make chain ${name}` : `renew chain ${name}`);
  }
  for (const { from, to } of desired.hooks) {
    if (!hookState(table, from, to, OWN_CHAINS).isRight) differences.push(`call ${to} first in ${from}`);
  }
  for (const { from, to } of strayHooks(table, desired)) differences.push(`no longer call ${to} in ${from}`);
  return differences;
}

/** Calls of our chains from places where they do not belong. */
export function strayHooks(
  table: FilterTable,
  desired: DesiredChains,
): readonly { readonly from: string; readonly to: string }[] {
  return [...table.rules.keys()].flatMap((from) =>
    [...OWN_CHAINS]
      .filter((to) => hookState(table, from, to, OWN_CHAINS).positions.length > 0)
      .filter((to) => !desired.hooks.some((hook) => hook.from === from && hook.to === to))
      .map((to) => ({ from, to })),
  );
}
