import { z } from "zod";
import { parseServerId } from "./keys.ts";
import type { MembersFile } from "./members.ts";
import { branded } from "./schema.ts";
import { signedServerRecordSchema } from "./server-record.ts";

export const membersFileSchema = z.object({
  version: z.literal(1),
  members: z.array(signedServerRecordSchema),
  removed: z.array(
    z.object({
      id: branded(parseServerId),
      name: z.string(),
      subnet: z.int().nullable(),
    }),
  ),
  firstSeenMs: z.record(z.string(), z.number()).optional(),
});

/** A mesh that nobody has joined yet. */
export const EMPTY_MEMBERS: MembersFile = { version: 1, members: [], removed: [] };

/** Reads members.json; undefined when it is malformed. Signatures are not verified here. */
export function parseMembersFile(text: string): MembersFile | undefined {
  try {
    const parsed = membersFileSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
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
