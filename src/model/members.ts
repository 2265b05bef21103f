import type { ServerId } from "./keys.ts";
import type { SignedServerRecord } from "./server-record.ts";

/** Who was removed from the mesh. The id never comes back. */
export interface Tombstone {
  readonly id: ServerId;
  readonly name: string;
  /** stays taken until `gc --force` has deleted the server's rows; null from then on */
  readonly subnet: number | null;
}

/**
 * /opt/jiji/members.json: every member that this server knows, itself included, and who was removed. It only grows, but
 * for tombstones; peers, routes, jiji0.conf and the store's bootstrap list are pure functions of it.
 */
export interface MembersFile {
  readonly version: 1;
  readonly members: readonly SignedServerRecord[];
  readonly removed: readonly Tombstone[];
  /** by id: when this server first heard of a member, ms since 1970 by its own clock; its agent writes it */
  readonly firstSeenMs?: Readonly<Record<string, number>> | undefined;
}
