import type { ClusterCidr } from "../model/cluster.ts";
import { formatPortRanges, rangesOfPorts } from "../model/port-ranges.ts";
import { TRUSTING_PORTS } from "../model/ports.ts";

/** The worst possible metric: any other route to the same destination is preferred. */
export const GUARD_METRIC = 4_294_967_295;

/** Preference of jiji's first rule in the routing policy database: after the local table, before the main one. */
const FIRST_PREFERENCE = 31_280;

/** A rule takes one port or one range. */
const RANGES = rangesOfPorts(TRUSTING_PORTS).map((range) => formatPortRanges([range]));

const MATCHES: readonly (readonly string[])[] = [
  ["iif", "lo", "lookup", "main"],
  ...["udp", "tcp"].flatMap((protocol) =>
    RANGES.map((ports) => ["ipproto", protocol, "dport", ports, "prohibit"] as const),
  ),
];

/** The preferences of {@link guardRules}. */
export const GUARD_PREFERENCES: readonly number[] = MATCHES.map((_, index) => FIRST_PREFERENCE + index);

/** A rule of the routing policy database, under a preference of our own. */
export interface GuardRule {
  readonly preference: number;
  /** as `ip rule show` prints it after the preference */
  readonly shown: string;
  /** arguments of `ip rule add` and `ip rule del` */
  readonly args: readonly string[];
}

/**
 * The part of the guard that needs no packet filter, so it holds even while somebody flushes the ruleset. Packets for the
 * cluster without a better route are unreachable. No packet is forwarded to the ports on which servers trust each other by
 * address; only what this server itself sends goes there.
 *
 * Routes and rules have the protocol `kernel`: systemd-networkd removes those that it does not know, but never these.
 */
export function guardRoute(cluster: ClusterCidr): readonly string[] {
  return ["unreachable", cluster, "metric", String(GUARD_METRIC), "proto", "kernel"];
}

/** See {@link guardRoute}. In order: the first one lets this server's own packets skip the others. */
export function guardRules(cluster: ClusterCidr): readonly GuardRule[] {
  return MATCHES.map((match, index) => {
    const preference = FIRST_PREFERENCE + index;
    return {
      preference,
      shown: `from all to ${cluster} ${match.join(" ")}`,
      args: ["pref", String(preference), "to", cluster, ...match, "protocol", "kernel"],
    };
  });
}
