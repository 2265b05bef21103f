import { z } from "zod";
import type { NodeGoal } from "../plan/goal.ts";
import type { FirewallObserved } from "../plan/firewall.ts";
import { packetFilterText } from "../plan/firewall.ts";
import { parseFilterTable, type FilterTable } from "../plan/iptables-filter.ts";
import { PATHS } from "../model/paths.ts";
import { ABSENT, found, unknown, type Reading } from "../model/reading.ts";
import { unitFile, UNITS } from "../model/units.ts";
import { GUARD_PREFERENCES, GUARD_METRIC } from "../render/guard-routes.ts";
import { FILTER_TABLE } from "../render/packet-filter.ts";
import { ProgramMissing, type Host } from "../system/host.ts";
import { observeRoutes } from "./links.ts";
import { look, lookJson } from "./look.ts";
import { seeFile } from "./managed-file.ts";
import { observeUnit } from "./unit-state.ts";

const tablesSchema = z.object({
  nftables: z.array(z.object({ table: z.object({ family: z.string(), name: z.string() }).optional() })),
});

/** Everything that the firewall kind decides by. */
export async function observeFirewall(host: Host, goal: NodeGoal): Promise<FirewallObserved> {
  const paths = [PATHS.firewall, PATHS.firewallChains4, PATHS.firewallChains6, unitFile(UNITS.firewall)];
  const [seen, docker, unit, table, tableWanted, filter4, filter6, guardedClusters, guardRules] = await Promise.all([
    Promise.all(paths.map(async (path) => [path, await seeFile(host.files, path)] as const)),
    observeUnit(host, "docker.service"),
    observeUnit(host, UNITS.firewall),
    observeTable(host),
    goal.phase === "join" ? listAsLoaded(host, packetFilterText(goal.spec)) : ABSENT,
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
    filter: { 4: filter4, 6: filter6 },
    hasDocker: docker.state === "unknown" ? docker : found(docker.state === "found"),
    guardedClusters,
    guardRules,
  };
}

/** Our table as nft lists it, without counters. */
async function observeTable(host: Host): Promise<Reading<string>> {
  if (!(await isInstalled(host, "nft"))) return ABSENT;
  const tables = await lookJson(host, ["nft", "-j", "list", "tables"], tablesSchema);
  if (tables.state !== "found") return tables;
  const isThere = tables.value.nftables.some(
    ({ table }) => table !== undefined && table.family === "inet" && table.name === FILTER_TABLE,
  );
  return isThere ? look(host, ["nft", "-s", "list", "table", "inet", FILTER_TABLE]) : ABSENT;
}

/**
 * How this server's own nft lists a ruleset, found by loading it where it guards nothing: in a network namespace that
 * ends with the program. Versions of nft spell the same rule differently, so only its own words can be compared.
 */
async function listAsLoaded(host: Host, rules: string): Promise<Reading<string>> {
  const script = `nft -f - && nft -s list table inet ${FILTER_TABLE}`;
  return look(host, ["unshare", "--net", "sh", "-c", script], { input: rules });
}

/** The filter table of one family; absent where there is no such program or no IPv6. */
export async function observeFilter(host: Host, family: 4 | 6): Promise<Reading<FilterTable>> {
  if (family === 6 && (await host.files.stat("/proc/net/if_inet6")).state === "absent") return ABSENT;
  const program = family === 4 ? "iptables-save" : "ip6tables-save";
  if (!(await isInstalled(host, program))) return ABSENT;
  const text = await look(host, [program, "-t", "filter"]);
  return text.state === "found" ? found(parseFilterTable(text.value)) : text;
}

async function isInstalled(host: Host, program: string): Promise<boolean> {
  try {
    await host.programs.run([program, "--version"]);
    return true;
  } catch (error) {
    if (error instanceof ProgramMissing) return false;
    throw error;
  }
}

async function observeGuardRoutes(host: Host): Promise<Reading<readonly string[]>> {
  const routes = await observeRoutes(host);
  if (routes.state !== "found") return routes;
  return found(
    routes.value.filter(({ type, metric }) => type === "unreachable" && metric === GUARD_METRIC).map(({ dst }) => dst),
  );
}

/** Lines of `ip rule show`: preference, colon, tab, the rest. */
async function observeGuardRules(
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
