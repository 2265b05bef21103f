import { describeTree, findByName } from "./file-tree.ts";
import { ToolError } from "../tools/errors.ts";
import type { EngineChoice, Lab } from "./lab.ts";
import {
  describeEngineNetworks,
  describeIptables,
  describeLinks,
  describeNftables,
  describeRoutes,
  describeSockets,
  describeUnits,
} from "./snapshot-sections.ts";

/**
 * The state of a server that setup and teardown together must not change, as lines of text by section. Two snapshots
 * of a server that nobody touched are equal; what comes and goes by itself is not in it (each case is explained where it
 * is left out).
 */
export interface ServerSnapshot {
  readonly server: string;
  readonly sections: Readonly<Record<string, readonly string[]>>;
}

/** Copies that shadow-utils makes of its own files before each change; nobody restores them. */
const shadowBackups = /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$/;

const sysctls =
  "^net\\.ipv4\\.(ip_forward|ip_local_reserved_ports|ip_nonlocal_bind|conf\\..*\\." +
  "(forwarding|rp_filter|route_localnet|proxy_arp|arp_ignore|arp_announce|accept_local|src_valid_mark|send_redirects))$" +
  "|^net\\.ipv6\\.conf\\.(all|default|eth0)\\.(forwarding|disable_ipv6)$";

/** Looks at a server that is up. Only reads. Throws `ToolError` when a look fails. */
export async function snapshotServer(lab: Lab, server: string): Promise<ServerSnapshot> {
  const target = lab.servers.find((candidate) => candidate.name === server);
  if (target === undefined) throw new ToolError(`lab ${lab.id} has no server ${server}`);
  const root = `/proc/${target.leaderPid()}/root`;
  const ask = async (...argv: string[]) => {
    const result = await lab.exec(server, argv, { timeoutMs: 60_000 });
    if (result.code !== 0) throw new ToolError(`${server}: ${argv.join(" ")} failed: ${result.stderr.trim()}`);
    return result.stdout;
  };
  const lines = async (...argv: string[]) => toLines(await ask(...argv));
  const has = (engine: EngineChoice) => target.engine === engine || target.engine === "both";
  const leaveOut = (path: string) => shadowBackups.test(path);
  const systemctl = (...argv: string[]) => ask("systemctl", ...argv, "--plain", "--no-legend", "--no-pager");
  const networksOf = async (engine: string) => {
    const names = toLines(await ask(engine, "network", "ls", "--format", "{{.Name}}"));
    return describeEngineNetworks(await ask(engine, "network", "inspect", ...names.sort()));
  };
  const looks: Record<string, () => readonly string[] | Promise<readonly string[]>> = {
    files: () => [...describeTree(root, "/etc", leaveOut), ...describeTree(root, "/opt", leaveOut)],
    traces: () => findByName(root, ["/var", "/run", "/usr", "/root", "/home", "/tmp", "/srv"], "jiji").filter(isTrace),
    users: () => lines("getent", "passwd"),
    groups: () => lines("getent", "group"),
    packages: () => lines("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev} ${Version}\n"),
    "unit files": async () => toLines(await systemctl("list-unit-files")).map((line) => line.replace(/\s+/g, " ")),
    units: async () => describeUnits(await systemctl("list-units")),
    nftables: async () => describeNftables(await ask("nft", "--stateless", "list", "ruleset")),
    iptables: async () => describeIptables(await ask("iptables-save")),
    ip6tables: async () => describeIptables(await ask("ip6tables-save")),
    routes: async () => describeRoutes(await ask("ip", "-4", "route", "show", "table", "all")),
    "IPv6 routes": async () => describeRoutes(await ask("ip", "-6", "route", "show", "table", "all")),
    rules: async () => [...(await lines("ip", "-4", "rule")), ...(await lines("ip", "-6", "rule"))],
    links: async () => describeLinks(await ask("ip", "-j", "-d", "address")),
    sockets: async () => describeSockets(await ask("ss", "-Hlntup")),
    sysctls: async () =>
      (await lines("sysctl", "-a", "--pattern", sysctls)).filter((line) => !/\.veth/.test(line)).sort(),
    ...(has("docker") && { "docker networks": () => networksOf("docker") }),
    ...(has("podman") && { "podman networks": () => networksOf("podman") }),
  };
  const names = Object.keys(looks);
  const found = await Promise.all(names.map(async (name) => (await looks[name]?.()) ?? []));
  const sections = Object.fromEntries(names.map((name, index) => [name, found[index] ?? []]));
  return { server, sections };
}

/** Each difference as a line: `- ` was there before, `+ ` is there now. Empty: the two are equal. */
export function diffSnapshots(before: ServerSnapshot, after: ServerSnapshot): string[] {
  const names = [...new Set([...Object.keys(before.sections), ...Object.keys(after.sections)])];
  return names.flatMap((name) => diffSection(name, before.sections[name] ?? [], after.sections[name] ?? []));
}

function diffSection(name: string, before: readonly string[], after: readonly string[]): string[] {
  const removed = without(before, after).map((line) => `- ${name}: ${line}`);
  const added = without(after, before).map((line) => `+ ${name}: ${line}`);
  if (removed.length > 0 || added.length > 0) return [...removed, ...added];
  const moved = before.findIndex((line, index) => line !== after[index]);
  if (moved < 0) return [];
  return [`~ ${name}: other order from line ${moved + 1} on: before ${before[moved]}; now ${after[moved]}`];
}

/** Lines of the first that the second has not, or has fewer times. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    return count === 0;
  });
}

/** The lab's own image bears the name that is searched for. */
function isTrace(path: string): boolean {
  return !path.startsWith("/var/lib/docker/") && !path.startsWith("/var/lib/containers/");
}

function toLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
}
