import type { AnyResourceKind } from "./kind.ts";

/**
 * Every kind of resource, in the order in which setup works; teardown goes through them backwards. Each imports nothing
 * of the others but what it needs to know about their place here:
 *
 * package → user → folder → identity → members → store token → spec → executable → file → firewall → sysctl → engine
 * network → WireGuard → route → store unit → agent unit → dns unit → engine DNS.
 *
 * The firewall stands before the first interface that it guards, and falls after the last one.
 */
export const KINDS: readonly AnyResourceKind[] = [];
