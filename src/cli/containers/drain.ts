import { JijiError } from "../../model/errors.ts";
import { SERVICE_DOMAIN } from "../../model/names.ts";
import type { ResolvedName } from "../../model/node/resolve.ts";
import type { EngineSide } from "../../model/node/inspect.ts";
import { answersOf, askAll, connectAll, failuresOf, type AskedServer, type Outcome } from "../servers/asked-servers.ts";
import { findContainer, type Candidate, type Search } from "./container-search.ts";
import type { CliContext } from "../context.ts";
import { askResolve, type Resolution } from "../servers/dns-questions.ts";
import { formatDuration } from "../duration.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import type { Output } from "../output.ts";

export interface DrainOptions extends MeshOptions {
  /** id or the beginning of one, name, DNS name of an instance, or address */
  readonly container: string;
  /** take it back */
  readonly undo: boolean;
}

/** A change reaches every server within a second. A slower server has a problem. */
const HIDDEN_MS = 10_000;
/** Longer than the limit that each server is given, so that its answer still arrives. */
const PATIENCE_MS = HIDDEN_MS + 5_000;

/** One server's answers after the drain. */
interface Seen {
  readonly server: string;
  /** null: it could not be asked */
  readonly isSettled: boolean | null;
  readonly afterMs: number | null;
  readonly why: string | null;
}

/**
 * `jiji network drain`: has the container's own server hide it, and asks every server's jiji-dns until none answers it any
 * more. Exit 4 when that could not be seen everywhere.
 */
export async function networkDrain(context: CliContext, output: Output, options: DrainOptions): Promise<ExitCode> {
  return withMesh(context, options, async (mesh) => {
    const asked = connectAll(mesh);
    const search = await findContainer(context, output, asked, options);
    const { owner, engine } = ownerOf(asked, search);
    if (engine.state !== "running") return saidAlready(output, options, search.chosen, engine);
    return await drain({ context, output, options, asked, owner, engine, container: search.chosen });
  });
}

/** The server whose agent can hide it, and the container there. Throws a JijiError when there is none, or no name to hide. */
function ownerOf(
  asked: readonly AskedServer[],
  { chosen, outcomes }: Search,
): { readonly owner: AskedServer; readonly engine: EngineSide } {
  const [name, answer] = [...answersOf(outcomes)].find(([, { server }]) => server.id === chosen.serverId) ?? [];
  const owner = asked.find((server) => server.name === name);
  if (answer === undefined || owner === undefined) {
    throw new JijiError("connection", `${chosen.name} is on ${chosen.server ?? chosen.serverId}, which was not asked`, {
      hint: "only its own server can drain it; jiji network status shows what is wrong with it",
    });
  }
  if (answer.engine.state !== "found") {
    const why = answer.engine.state === "unknown" ? answer.engine.why : "it is not there";
    throw new JijiError("remote", `its engine does not answer: ${why}`, { server: owner.name });
  }
  const engine = answer.engine.value.find(({ id }) => id === chosen.containerId);
  if (engine?.published !== null && engine !== undefined) return { owner, engine };
  const reasons = engine === undefined ? "its engine has no such container" : engine.problems.join("; ");
  throw new JijiError("conflict", `${chosen.name} has no name that could be hidden: ${reasons}`, {
    server: owner.name,
    hint: `jiji network inspect --container ${chosen.containerId.slice(0, 12)}`,
  });
}

/** A container that does not run is in no answer, so there is nothing to do. */
function saidAlready(
  output: Output,
  { json, undo }: DrainOptions,
  container: Candidate,
  { state }: EngineSide,
): ExitCode {
  if (json) output.json(EXIT.ok, { container, isDraining: false, state, servers: [], names: [] });
  else
    output.data(`${titleOf(container)} is ${state}: it is not answered anyway${undo ? ", until it is started" : ""}`);
  return EXIT.ok;
}

interface Drain {
  readonly context: CliContext;
  readonly output: Output;
  readonly options: DrainOptions;
  readonly asked: readonly AskedServer[];
  readonly owner: AskedServer;
  readonly engine: EngineSide;
  readonly container: Candidate;
}

async function drain(parts: Drain): Promise<ExitCode> {
  const { context, output, options, asked, owner, container } = parts;
  const { undo, json } = options;
  const startedMs = context.clock.monotonicMs();
  const client = await owner.client;
  const { isDraining } = await client.ask("drain", { container: container.containerId, undo });
  const settled = new Map<string, number>();
  const outcomes = await askAll(
    context,
    asked,
    async (client, server) => {
      const resolution = await askResolve(client, { names: namesOf(parts.engine), until: untilOf(parts) });
      settled.set(server, context.clock.monotonicMs() - startedMs);
      return resolution;
    },
    PATIENCE_MS,
  );
  const seen = outcomes.map((outcome) => seenOf(outcome, settled.get(outcome.server)));
  const names = answersOf(outcomes).get(owner.name)?.answers ?? [];
  const code = seen.every(({ isSettled }) => isSettled === true) ? EXIT.ok : EXIT.partly;
  if (json) {
    output.json(code, { container, isDraining, state: parts.engine.state, servers: seen, names });
  } else {
    output.data(describe(container, isDraining, seen, names));
    for (const { server, why } of failuresOf(outcomes).map((each) => ({
      server: each.server,
      why: each.error.message,
    }))) {
      output.warn(`${server} was not asked, so it may still answer as before: ${why}`);
    }
    for (const { server } of seen.filter(({ isSettled }) => isSettled === false)) {
      const what = undo ? "does not answer it yet" : "still answers it";
      output.error(`${server} ${what}`, `jiji network inspect --container ${container.containerId.slice(0, 12)}`);
    }
  }
  return code;
}

/** The names whose answers may contain it. */
function namesOf({ published }: EngineSide): string[] {
  if (published === null) return [];
  const { project, service, instance } = published;
  const label = `${project}-${service}`;
  const labels = instance === null ? [label] : [label, `${label}-${instance}`];
  return labels.filter((each) => each.length <= 63).map((each) => `${each}.${SERVICE_DOMAIN}`);
}

/** What every server waits for. After an undo an unhealthy container stays out of the answers, so nothing is awaited. */
function untilOf({ engine, options }: Drain): { address: string; is: "absent" | "present"; timeoutMs: number } | null {
  const { published, address } = engine;
  if (address === null) return null;
  if (!options.undo) return { address, is: "absent", timeoutMs: HIDDEN_MS };
  const isHealthy = published?.state === "healthy" && !engine.hasCheck;
  return isHealthy ? { address, is: "present", timeoutMs: HIDDEN_MS } : null;
}

function seenOf(outcome: Outcome<Resolution>, afterMs: number | undefined): Seen {
  const { server } = outcome;
  if (outcome.state === "failed") return { server, isSettled: null, afterMs: null, why: outcome.error.message };
  return { server, isSettled: outcome.value.isSettled, afterMs: Math.round(afterMs ?? 0), why: null };
}

function titleOf({ name, containerId, server, serverId }: Candidate): string {
  return `${name} ${containerId.slice(0, 12)} on ${server ?? serverId}`;
}

function describe(
  container: Candidate,
  isDraining: boolean,
  seen: readonly Seen[],
  names: readonly ResolvedName[],
): string {
  const done = seen.filter(({ isSettled }) => isSettled === true);
  const lastMs = Math.max(0, ...done.map(({ afterMs }) => afterMs ?? 0));
  const who = done.map(({ server }) => server).join(", ");
  const lines = [`${titleOf(container)} ${isDraining ? "is draining" : "is no longer draining"}`];
  if (done.length > 0 && isDraining) lines.push(`hidden from the answers of ${who} after ${formatDuration(lastMs)}`);
  if (done.length > 0 && !isDraining) lines.push(`its state decides again on ${who}, after ${formatDuration(lastMs)}`);
  for (const { name, addresses, rcode } of names) {
    const said = addresses.length > 0 ? addresses.join(" ") : rcode === null ? "no answer" : "no address now";
    lines.push(`${name}: ${said}`);
  }
  if (isDraining) lines.push("stop it when its connections have ended; --undo takes it back, and so does a start");
  return lines.join("\n");
}
