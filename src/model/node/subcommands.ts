import type { z } from "zod";
import { drainedSchema } from "../agent-control.ts";
import { applyEventSchema, applyRequestSchema } from "./apply.ts";
import { dnsListLineSchema, dnsListRequestSchema } from "./dns.ts";
import { drainRequestSchema } from "./drain.ts";
import { gcLineSchema, gcRequestSchema } from "./gc.ts";
import { inspectAnswerSchema, inspectRequestSchema } from "./inspect.ts";
import { lockEventSchema, lockRequestSchema } from "./lock.ts";
import { nodeFactsSchema, observeRequestSchema } from "./observe.ts";
import { queryEventSchema, queryRequestSchema } from "./query.ts";
import { repairEventSchema, repairRequestSchema } from "./repair.ts";
import { resolveLineSchema, resolveRequestSchema } from "./resolve.ts";
import { nodeStatusSchema, statusRequestSchema } from "./status.ts";
import { readerEventSchema, readerRequestSchema } from "./store-reader.ts";

/**
 * What the CLI and `jiji node …` say to each other over SSH: one JSON request on standard input, then lines of JSON on
 * standard output, each an `answer`, and a failure.ts line in place of what cannot be said. Everything that a server says is
 * data: the CLI parses it with these schemas and shows it escaped. The server may run another release. So unknown keys are
 * passed over, and a list that was added later may be missing; what decides something is parsed to its branded type.
 */
const REMOTE = {
  observe: { request: observeRequestSchema, answer: nodeFactsSchema },
  apply: { request: applyRequestSchema, answer: applyEventSchema },
  lock: { request: lockRequestSchema, answer: lockEventSchema },
  status: { request: statusRequestSchema, answer: nodeStatusSchema },
  dns: { request: dnsListRequestSchema, answer: dnsListLineSchema },
  resolve: { request: resolveRequestSchema, answer: resolveLineSchema },
  query: { request: queryRequestSchema, answer: queryEventSchema },
  inspect: { request: inspectRequestSchema, answer: inspectAnswerSchema },
  drain: { request: drainRequestSchema, answer: drainedSchema },
  gc: { request: gcRequestSchema, answer: gcLineSchema },
};

/** The last ones are for the server itself. */
const ALL = {
  ...REMOTE,
  "store-reader": { request: readerRequestSchema, answer: readerEventSchema },
  repair: { request: repairRequestSchema, answer: repairEventSchema },
};

export type Subcommand = keyof typeof ALL;
export type RemoteSubcommand = keyof typeof REMOTE;

/** What the asking side gives. */
export type RequestOf<Name extends Subcommand> = z.input<(typeof ALL)[Name]["request"]>;

/** The same after its schema. */
export type CheckedRequestOf<Name extends Subcommand> = z.output<(typeof ALL)[Name]["request"]>;

/** One line of the answer. */
export type AnswerOf<Name extends Subcommand> = z.output<(typeof ALL)[Name]["answer"]>;

/** Every subcommand of `jiji node`. */
export const SUBCOMMANDS: {
  readonly [Name in Subcommand]: {
    readonly request: z.ZodType<CheckedRequestOf<Name>>;
    readonly answer: z.ZodType<AnswerOf<Name>>;
  };
} = ALL;

export const SUBCOMMAND_NAMES = Object.keys(ALL) as readonly Subcommand[];

/** What can be asked over ssh. */
export const REMOTE_SUBCOMMANDS = Object.keys(REMOTE) as readonly RemoteSubcommand[];
