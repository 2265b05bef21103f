import { z } from "zod";
import { subnetNumberSchema } from "./cluster.ts";
import { parseIdentityPublicKey, parseServerId, serverIdOf } from "./keys.ts";
import { parseDnsLabel } from "./names.ts";
import { branded } from "./schema.ts";

/** The public half of /opt/jiji/identity.json: made once, under the lock, and never derived from a count or an order. */
export const identitySchema = z
  .object({
    id: branded(parseServerId),
    idKey: branded(parseIdentityPublicKey),
    name: branded(parseDnsLabel),
    subnet: subnetNumberSchema,
  })
  .refine(({ id, idKey }) => serverIdOf(idKey) === id, { error: "the id does not belong to its key" });

export type Identity = z.output<typeof identitySchema>;
