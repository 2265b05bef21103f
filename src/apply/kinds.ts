import type { AnyResourceKind } from "./kind.ts";
import type { Probes } from "./probes.ts";

/**
 * Every kind of resource, in the order in which setup works; teardown goes through them backwards:
 *
 * package → user → folder → identity → members → store token → file (spec.json first) → executable → engine network →
 * WireGuard → route → sysctl → firewall → store unit → agent unit → dns units → engine DNS.
 */
export function resourceKinds(_probes: Probes): readonly AnyResourceKind[] {
  return [];
}
