import { z } from "zod";
import type { NodeGoal } from "../plan/goal.ts";
import type { FirewallObserved } from "../plan/kinds/firewall.ts";
import { frameFilterText, packetFilterText } from "../plan/kinds/firewall.ts";
import { parseFilterTable, type FilterTable } from "../plan/iptables-filter.ts";
import { PATHS } from "../model/paths.ts";
import { ABSENT, found, mapReading, unknown, type Reading } from "../model/reading.ts";
import { unitFile, UNITS } from "../model/units.ts";
import { GUARD_PREFERENCES, GUARD_METRIC } from "../render/guard-routes.ts";
import { FILTER_TABLE } from "../render/packet-filter.ts";
import type { Host } from "../system/host.ts";
import { observeRoutes } from "./links.ts";
import { seeFile } from "./managed-file.ts";
import { isInstalled, look, lookJson } from "./programs.ts";
import { observeUnit } from "./units.ts";

const tablesSchema = z.object({
  nftables: z.array(z.object({ table: z.object({ family: z.string(), name: z.string() }).optional() })),
});

/** Everything that the firewall kind decides by. */
export async function observeFirewall(host: Host, goal: NodeGoal): Promise<FirewallObserved> {
  const paths = [
    PATHS.firewall,
    PATHS.firewallFrames,
    PATHS.firewallChains4,
    PATHS.firewallChains6,
    unitFile(UNITS.firewall),
  ];
  const [
    seen,
    docker,
    unit,
    [table, frames],
    tableWanted,
    framesWanted,
    filter4,
    filter6,
    guardedClusters,
    guardRules,
  ] = await Promise.all([
    Promise.all(paths.map(async (path) => [path, await seeFile(host.files, path)] as const)),
    observeUnit(host, "docker.service"),
    observeUnit(host, UNITS.firewall),
    observeOwnTables(host),
    goal.phase === "join" ? listAsLoaded(host, "inet", packetFilterText(goal.spec)) : ABSENT,
    goal.phase === "join" ? listFramesAsLoaded(host, frameFilterText(goal.spec)) : ABSENT,
    observeFilter(host, 4),
    observeFilter(host, 6),
    observeGuardRoutes(host),
    observeGuardRules(host),
  ]);
  return {
    files: new Map(seen),
    unit,
    table,
    tableWanted,
    frames,
    framesWanted,
    filter: { 4: filter4, 6: filter6 },
    hasDocker: docker.state === "unknown" ? docker : found(docker.state === "found"),
    guardedClusters,
    guardRules,
  };
}

/** Our tables for packets and for frames as nft lists them, without counters. */
async function observeOwnTables(host: Host): Promise<readonly [Reading<string>, Reading<string>]> {
  const tables = await observeTables(host);
  if (tables.state !== "found") return [tables, tables];
  const list = (family: "inet" | "bridge"): Promise<Reading<string>> | Reading<string> =>
    tables.value.has(family) ? look(host, ["nft", "-s", "list", "table", family, FILTER_TABLE]) : ABSENT;
  return Promise.all([list("inet"), list("bridge")]);
}

/** The families in which our own table is there; absent: nft is not installed. */
export async function observeTables(host: Host): Promise<Reading<ReadonlySet<string>>> {
  if (!(await isInstalled(host, "nft"))) return ABSENT;
  const tables = await lookJson(host, ["nft", "-j", "list", "tables"], tablesSchema);
  return mapReading(
    tables,
    ({ nftables }) => new Set(nftables.flatMap(({ table }) => (table?.name === FILTER_TABLE ? [table.family] : []))),
  );
}

/**
 * How this server's own nft lists a ruleset, found by loading it where it guards nothing: in a network namespace that
 * ends with the program. Versions of nft spell the same rule differently, so only its own words can be compared.
 */
async function listAsLoaded(host: Host, family: "inet" | "bridge", rules: string): Promise<Reading<string>> {
  const script = `nft -f - && nft -s list table ${family} ${FILTER_TABLE}`;
  return look(host, ["unshare", "--net", "sh", "-c", script], { input: rules });
}

/** The same for frames; absent where nft is there and this kernel refuses such a table. */
async function listFramesAsLoaded(host: Host, rules: string): Promise<Reading<string>> {
  const listed = await listAsLoaded(host, "bridge", rules);
  return listed.state === "found" || (await canFilterFrames(host)) !== false ? listed : ABSENT;
}

/** Whether this kernel filters frames; undefined: nft cannot be asked. */
export async function canFilterFrames(host: Host): Promise<boolean | undefined> {
  const tryOut = (family: "inet" | "bridge"): string =>
    `add table ${family} try; add chain ${family} try c { type filter hook prerouting priority 0; }`;
  const test = async (family: "inet" | "bridge"): Promise<boolean> => {
    const argv = ["unshare", "--net", "nft", tryOut(family)] as const;
    return (await look(host, argv)).state === "found";
  };
  if (await test("bridge")) return true;
  return (await test("inet")) ? false : undefined;
}

/** The filter table of one family; absent where there is no such program or no IPv6. */
export async function observeFilter(host: Host, family: 4 | 6): Promise<Reading<FilterTable>> {
  if (family === 6 && (await host.files.stat("/proc/net/if_inet6")).state === "absent") return ABSENT;
  const program = family === 4 ? "iptables-save" : "ip6tables-save";
  if (!(await isInstalled(host, program))) return ABSENT;
  return mapReading(await look(host, [program, "-t", "filter"]), parseFilterTable);
}

/** The clusters that have a guarding route. */
export async function observeGuardRoutes(host: Host): Promise<Reading<readonly string[]>> {
  return mapReading(await observeRoutes(host), (routes) =>
    routes.filter(({ type, metric }) => type === "unreachable" && metric === GUARD_METRIC).map(({ dst }) => dst),
  );
}

/** The guarding rules, from lines of `ip rule show`: preference, colon, tab, the rest. */
export async function observeGuardRules(
  host: Host,
): Promise<Reading<readonly { readonly preference: number; readonly shown: string }[]>> {
  const output = await look(host, ["ip", "-4", "rule", "show"]);
  if (output.state !== "found") return output;
  const rules: { preference: number; shown: string }[] = [];
  for (const line of output.value.split("\n")) {
    if (line === "") continue;
    const match = /^([0-9]+):\s+(.*)$/.exec(line);
    if (match === null) return unknown(`ip rule show printed ${line}`);
    const preference = Number(match[1]);
    if (GUARD_PREFERENCES.includes(preference)) rules.push({ preference, shown: (match[2] ?? "").trim() });
  }
  return found(rules);
}
