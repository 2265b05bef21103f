import { z } from "zod";
import { parseJson } from "./json.ts";
import { parseServerId } from "./keys.ts";
import { branded } from "./schema.ts";
import { signedServerRecordSchema } from "./server-record.ts";

/** Who was removed from the mesh. The id never comes back. */
const tombstoneSchema = z
  .object({
    id: branded(parseServerId),
    name: z.string(),
    /** stays taken until `gc --force` has deleted the server's rows; null from then on */
    subnet: z.int().nullable(),
  })
  .readonly();

export type Tombstone = z.output<typeof tombstoneSchema>;

/**
 * /opt/jiji/members.json: every member that this server knows, itself included, and who was removed. It only grows, but
 * for tombstones; peers, routes, jiji0.conf and the store's bootstrap list are pure functions of it. Only changeMembers
 * (apply/members-file.ts) writes it.
 */
export const membersFileSchema = z
  .object({
    version: z.literal(1),
    members: z.array(signedServerRecordSchema).readonly(),
    removed: z.array(tombstoneSchema).readonly(),
    /** by id: when this server first heard of a member, ms since 1970 by its own clock; its agent writes it */
    firstSeenMs: z.record(z.string(), z.number()).readonly().optional(),
  })
  .readonly();

export type MembersFile = z.output<typeof membersFileSchema>;

/** A mesh that nobody has joined yet. */
export const EMPTY_MEMBERS: MembersFile = { version: 1, members: [], removed: [] };

/** Reads members.json; undefined when it is malformed. Signatures are not verified here. */
export function parseMembersFile(text: string): MembersFile | undefined {
  return parseJson(text, membersFileSchema);
}

/** The text of members.json, in a fixed order, so that equal content is equal text. */
export function encodeMembersFile(file: MembersFile): string {
  const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
  return `${JSON.stringify({
    version: 1,
    members: file.members.toSorted(byId).map(({ id, record, sig }) => ({ id, record, sig })),
    removed: file.removed.toSorted(byId).map(({ id, name, subnet }) => ({ id, name, subnet })),
    ...(file.firstSeenMs === undefined ? {} : { firstSeenMs: inOrder(file.firstSeenMs) }),
  })}\n`;
}

function inOrder(times: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(times).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
