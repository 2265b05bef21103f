import { z } from "zod";
import type { SubnetNumber } from "../model/cluster.ts";
import { JijiError } from "../model/errors.ts";
import { parseDnsLabel, type DnsLabel } from "../model/names.ts";
import { nodeSpecSchema } from "../model/node-spec-file.ts";
import type { NodeSpec } from "../model/node-spec.ts";
import { signedServerRecordSchema } from "../model/server-record.ts";

/** Longest request: 255 signed records and a spec are well below it. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** A schema's own type has `undefined` where {@link NodeSpec} has an absent key; the parser gives the latter. */
const spec = nodeSpecSchema as unknown as z.ZodType<NodeSpec>;

const label = z.string().transform((text, context): DnsLabel => {
  const parsed = parseDnsLabel(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: "malformed" });
  return z.NEVER;
});

const subnet = z
  .int()
  .min(0)
  .max(254)
  .transform((n) => n as SubnetNumber);

export const observeRequestSchema = z.object({
  engine: z.enum(["docker", "podman"]).nullable(),
  clusterCidr: z.string(),
});

export const applyRequestSchema = z.object({
  goal: z.discriminatedUnion("phase", [
    z.object({ phase: z.literal("prepare"), spec }),
    z.object({
      phase: z.literal("join"),
      spec,
      members: z.array(signedServerRecordSchema).max(1000),
      expected: z.array(z.object({ name: label, subnet })).max(255),
    }),
    z.object({ phase: z.literal("teardown") }),
  ]),
  dryRun: z.boolean(),
  restartEngine: z.boolean(),
  storeToken: z.string().max(200).optional(),
});

export const lockRequestSchema = z.object({ holder: z.string().max(500) });

export const statusRequestSchema = z.object({ probe: z.boolean() });

/** Reads a request; the text itself never becomes part of the error, as it may hold a token. */
export function parseRequest<T extends z.ZodType>(schema: T, text: string): z.output<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new JijiError("usage", "the request is not JSON", { hint: "jiji node is meant for the CLI, not for people" });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map(({ path }) => path.join(".") || "its shape").join(", ");
  throw new JijiError("usage", `the request was refused: ${where} is malformed`, {
    hint: "use the same release of jiji on both sides",
  });
}
