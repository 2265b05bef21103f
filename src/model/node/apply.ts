import { z } from "zod";
import { subnetNumberSchema } from "../cluster.ts";
import { parseDnsLabel } from "../names.ts";
import { nodeSpecSchema } from "../node-spec.ts";
import { boundedText, branded, list } from "../schema.ts";
import { signedServerRecordSchema } from "../server-record.ts";

/** `jiji node apply`: makes the server as the goal says. With `dryRun` it prints the steps and changes nothing. */
export const applyRequestSchema = z.object({
  goal: z.discriminatedUnion("phase", [
    z.object({ phase: z.literal("prepare"), spec: nodeSpecSchema }),
    z.object({
      phase: z.literal("join"),
      spec: nodeSpecSchema,
      members: list(signedServerRecordSchema, 1000),
      expected: list(z.object({ name: branded(parseDnsLabel), subnet: subnetNumberSchema }), 255),
    }),
    z.object({ phase: z.literal("teardown") }),
  ]),
  dryRun: z.boolean(),
  restartEngine: z.boolean(),
  /** embedded store only: the mesh's token, from the holder's prepare to the others' join */
  storeToken: z.string().max(200).exactOptional(),
});

export type ApplyRequest = z.input<typeof applyRequestSchema>;

/** A step as it is shown, in the order of execution. */
const shownStepSchema = z.object({
  kind: boundedText,
  target: boundedText,
  verb: boundedText,
  summary: boundedText,
  details: z.array(z.string()).readonly().exactOptional(),
});

/** Lines that answer, in this order; the last one is `done`. */
export const applyEventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("plan"), steps: list(shownStepSchema, 10_000) }),
  z.object({ type: z.literal("step"), index: z.int().min(0), state: z.enum(["started", "done"]) }),
  z.object({ type: z.literal("progress"), line: boundedText }),
  z.object({
    type: z.literal("done"),
    /** after prepare and join: this server's own signed record */
    record: signedServerRecordSchema.exactOptional(),
    /** after prepare on the holder of an embedded store */
    storeToken: z.string().max(1000).exactOptional(),
    /** things to tell the operator, e.g. containers that still have an old resolv.conf */
    notes: z.array(boundedText).readonly().default([]),
  }),
]);

export type ApplyEvent = z.output<typeof applyEventSchema>;
export type ApplyDone = Extract<ApplyEvent, { type: "done" }>;
export type ShownStep = z.output<typeof shownStepSchema>;
