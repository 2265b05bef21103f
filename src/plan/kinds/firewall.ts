import { serverAddress, subnetOf, type ClusterCidr } from "../../model/cluster.ts";
import type { NodeSpec } from "../../model/node-spec.ts";
import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import { unitFile, UNITS } from "../../model/units.ts";
import { renderFrameFilter, FILTER_TABLE, renderPacketFilter } from "../../render/packet-filter.ts";
import { renderFirewallUnit } from "../../render/firewall-unit.ts";
import { guardRules } from "../../render/guard-routes.ts";
import { renderIptablesChains } from "../../render/iptables-chains.ts";
import { chainDifferences, desiredChains, NO_CHAINS, type DesiredChains } from "../firewall-hooks.ts";
import type { JoinGoal, NodeGoal } from "../goal.ts";
import type { FilterTable } from "../iptables-filter.ts";
import { planManagedFile, planRestores, type DesiredFile, type Steps, type SeenFile } from "../managed-file.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import { stepsOf } from "../step.ts";
import type { UnitState } from "./unit.ts";

export const FIREWALL_KIND = "firewall";

/** Targets in the manifest that are no files. */
export const FIREWALL_TARGETS = {
  table: `nftables table inet ${FILTER_TABLE}`,
  frames: `nftables table bridge ${FILTER_TABLE}`,
  guard: "routes that guard the cluster",
  chains4: "iptables",
  chains6: "ip6tables",
} as const;

export interface FirewallObserved {
  /** by path: rules.nft, frames.nft, rules.v4, rules.v6, the unit */
  readonly files: ReadonlyMap<string, SeenFile>;
  readonly unit: Reading<UnitState>;
  /** our table as nft lists it */
  readonly table: Reading<string>;
  /** how nft on this server lists the table that is desired; not known before the users and nft itself are there */
  readonly tableWanted: Reading<string>;
  /** the same of our table for frames; absent as wanted: this kernel has no such tables */
  readonly frames: Reading<string>;
  readonly framesWanted: Reading<string>;
  /** absent: iptables is not installed, or there is no IPv6 */
  readonly filter: { readonly 4: Reading<FilterTable>; readonly 6: Reading<FilterTable> };
  readonly hasDocker: Reading<boolean>;
  /** the clusters that have a guarding route */
  readonly guardedClusters: Reading<readonly string[]>;
  /** rules of the routing policy database with our preferences */
  readonly guardRules: Reading<readonly { readonly preference: number; readonly shown: string }[]>;
}

export type FirewallAction =
  | { readonly op: "guard"; readonly cluster: ClusterCidr }
  | { readonly op: "unguard" }
  | { readonly op: "load"; readonly what: "packets" | "frames" }
  | { readonly op: "unload"; readonly what: "packets" | "frames" }
  /** our chains of one family become these */
  | { readonly op: "chains"; readonly family: 4 | 6; readonly wanted: DesiredChains }
  | { readonly op: "start" }
  | { readonly op: "stop" };

type FirewallSteps = Steps<FirewallAction>;

const step = stepsOf<FirewallAction>(FIREWALL_KIND);

/** Own table, own chains where a drop may come, guarding routes, and the unit that loads them at boot. */
export function planFirewall(goal: NodeGoal, observed: FirewallObserved, manifest: Manifest): FirewallSteps {
  if (goal.phase === "prepare") return [];
  return goal.phase === "teardown" ? planTeardown(observed, manifest) : planJoin(goal, observed, manifest);
}

/** rules.nft as it should be: a function of the spec alone. */
export function packetFilterText(spec: NodeSpec): string {
  const { cluster, subnet, store } = spec;
  return renderPacketFilter({
    cluster: cluster.cidr,
    own: subnetOf(cluster.cidr, subnet),
    address: serverAddress(cluster.cidr, subnet),
    gossipUser: store.kind === "corrosion" ? "jiji-corrosion" : null,
    holdsStore: store.kind === "embedded" && store.holder === subnet,
  });
}

/** frames.nft as it should be. */
export function frameFilterText({ cluster, subnet }: NodeSpec): string {
  return renderFrameFilter(serverAddress(cluster.cidr, subnet));
}

/** Our chains in iptables and ip6tables, as the tables are now. Throws when they cannot be seen. */
export function firewallChains(
  spec: NodeSpec,
  observed: FirewallObserved,
): { readonly 4: DesiredChains; readonly 6: DesiredChains } {
  const hasDocker = known(observed.hasDocker, "whether Docker is installed") ?? false;
  const of = (family: 4 | 6): DesiredChains =>
    desiredChains(family, spec, known(observed.filter[family], filterName(family)), hasDocker);
  return { 4: of(4), 6: of(6) };
}

function filterName(family: 4 | 6): string {
  return family === 4 ? FIREWALL_TARGETS.chains4 : FIREWALL_TARGETS.chains6;
}

/** All files that the firewall has on this server. */
export function firewallFiles(spec: NodeSpec, observed: FirewallObserved): readonly DesiredFile[] {
  const wanted = firewallChains(spec, observed);
  const chainFiles = ([4, 6] as const)
    .filter((family) => wanted[family].chains.length > 0)
    .map((family) => ({
      path: family === 4 ? PATHS.firewallChains4 : PATHS.firewallChains6,
      content: renderIptablesChains(wanted[family].chains),
      mode: 0o644,
    }));
  const unit = renderFirewallUnit({
    cluster: spec.cluster.cidr,
    hooks: [...wanted[4].hooks, ...wanted[6].hooks],
  });
  return [
    { path: PATHS.firewall, content: packetFilterText(spec), mode: 0o644 },
    { path: PATHS.firewallFrames, content: frameFilterText(spec), mode: 0o644 },
    ...chainFiles,
    { path: unitFile(UNITS.firewall), content: unit, mode: 0o644 },
  ];
}

function planJoin({ spec }: JoinGoal, observed: FirewallObserved, manifest: Manifest): FirewallSteps {
  const files = firewallFiles(spec, observed);
  const paths = new Set(files.map(({ path }) => path));
  return [
    ...planGuard(spec, observed),
    ...files.flatMap((file) => planManagedFile(FIREWALL_KIND, file, seen(observed, file.path))),
    ...planRestores(FIREWALL_KIND, manifest, paths),
    ...planTable("packets", observed.table, observed.tableWanted),
    ...(observed.framesWanted.state === "absent" ? [] : planTable("frames", observed.frames, observed.framesWanted)),
    ...planChains(spec, observed),
    ...planUnit(observed),
  ];
}

function seen(observed: FirewallObserved, path: string): SeenFile {
  return observed.files.get(path) ?? { stat: { state: "absent" }, content: { state: "absent" } };
}

function planGuard(spec: NodeSpec, observed: FirewallObserved): FirewallSteps {
  const { cidr } = spec.cluster;
  const clusters = known(observed.guardedClusters, "the routes") ?? [];
  const live = known(observed.guardRules, "the routing rules") ?? [];
  const wanted = guardRules(cidr).map(({ preference, shown }) => `${preference}: ${shown}`);
  const isSame = live.map(({ preference, shown }) => `${preference}: ${shown}`).join("\n") === wanted.join("\n");
  if (clusters.includes(cidr) && isSame) return [];
  const summary = `make ${cidr} unreachable but through the tunnel`;
  return [step("create", FIREWALL_TARGETS.guard, summary, { op: "guard", cluster: cidr })];
}

function planTable(what: "packets" | "frames", live: Reading<string>, wanted: Reading<string>): FirewallSteps {
  const [target, path] =
    what === "packets" ? [FIREWALL_TARGETS.table, PATHS.firewall] : [FIREWALL_TARGETS.frames, PATHS.firewallFrames];
  const text = known(live, target);
  if (text === undefined) return [step("create", target, `load ${path}`, { op: "load", what })];
  if (text === known(wanted, path)) return [];
  return [step("change", target, `load ${path} again`, { op: "load", what })];
}

function planChains(spec: NodeSpec, observed: FirewallObserved): FirewallSteps {
  const wanted = firewallChains(spec, observed);
  return ([4, 6] as const).flatMap((family) => {
    const name = filterName(family);
    const details = chainDifferences(known(observed.filter[family], name), wanted[family]);
    if (details.length === 0) return [];
    const summary = `let the mesh pass where ${name} may drop`;
    return [step("change", name, summary, { op: "chains", family, wanted: wanted[family] }, { details })];
  });
}

function planUnit(observed: FirewallObserved): FirewallSteps {
  const unit = known(observed.unit, UNITS.firewall);
  if (unit?.enabled === true && unit.active) return [];
  return [step("enable", UNITS.firewall, "load the packet filter at boot", { op: "start" })];
}

function planTeardown(observed: FirewallObserved, manifest: Manifest): FirewallSteps {
  const has = (target: string): boolean => manifestEntry(manifest, FIREWALL_KIND, target) !== undefined;
  const steps: FirewallSteps[number][] = [];
  if (has(UNITS.firewall)) {
    steps.push(step("disable", UNITS.firewall, "no longer load the packet filter at boot", { op: "stop" }));
  }
  for (const family of [4, 6] as const) {
    const name = filterName(family);
    if (!has(name)) continue;
    known(observed.filter[family], name);
    steps.push(step("remove", name, `remove jiji's chains from ${name}`, { op: "chains", family, wanted: NO_CHAINS }));
  }
  for (const [target, what] of [
    [FIREWALL_TARGETS.frames, "frames"],
    [FIREWALL_TARGETS.table, "packets"],
  ] as const) {
    if (has(target)) steps.push(step("remove", target, `remove ${target}`, { op: "unload", what }));
  }
  if (has(FIREWALL_TARGETS.guard)) {
    steps.push(step("remove", FIREWALL_TARGETS.guard, `remove the ${FIREWALL_TARGETS.guard}`, { op: "unguard" }));
  }
  return [...steps, ...planRestores(FIREWALL_KIND, manifest)];
}
