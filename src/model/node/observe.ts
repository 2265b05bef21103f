import { z } from "zod";
import { findingSchema } from "../finding.ts";
import { identitySchema } from "../identity.ts";
import { membersFileSchema } from "../members-file.ts";
import { engineKindSchema, nodeSpecSchema } from "../node-spec.ts";
import { boundedText, list, reading } from "../schema.ts";

/** `jiji node observe`: facts for preflight and allocation. Never writes. */
export const observeRequestSchema = z.object({
  /** the engine that deploy.yml asks for; null: whatever is found */
  engine: engineKindSchema.nullable(),
});

const engineFactsSchema = z.object({
  kind: engineKindSchema,
  version: boundedText,
  /** Podman only: whether the backend is netavark */
  netavark: z.boolean().exactOptional(),
  rootless: z.boolean().exactOptional(),
});

const listenerSchema = z.object({
  protocol: z.enum(["udp", "tcp"]),
  address: boundedText,
  port: z.int().min(0).max(65_535),
  program: boundedText,
});

export const nodeFactsSchema = z.object({
  /** `x64` and `arm64` are served; any other is as `uname -m` says */
  arch: boundedText,
  /** of os-release */
  os: z.object({ prettyName: boundedText }),
  systemd: reading(boundedText),
  glibc: reading(boundedText),
  /** each engine found; an engine that is installed but does not answer is unknown */
  engines: z.object({ docker: reading(engineFactsSchema), podman: reading(engineFactsSchema) }),
  /** made by an earlier setup */
  identity: reading(identitySchema),
  spec: reading(nodeSpecSchema),
  members: reading(membersFileSchema),
  release: z.object({ jiji: reading(boundedText) }),
  /** networks in use on this server, jiji's own left out, for the overlap check */
  networks: list(z.object({ cidr: boundedText, what: boundedText }), 10_000),
  /** who listens on the ports that jiji needs, jiji's own processes left out */
  listeners: list(listenerSchema, 10_000),
  /** reasons why this server is unfit that no other field tells, e.g. an engine network that is somebody else's */
  findings: list(findingSchema, 100).default([]),
});

export type NodeFacts = z.output<typeof nodeFactsSchema>;
export type EngineFacts = z.output<typeof engineFactsSchema>;
export type Listener = z.output<typeof listenerSchema>;
