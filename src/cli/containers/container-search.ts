import { JijiError } from "../../model/errors.ts";
import type { InspectAnswer } from "../../model/node/inspect.ts";
import { showText } from "../../model/shown-text.ts";
import {
  answersOf,
  askAll,
  failuresOf,
  nobodyAnswered,
  type AskedServer,
  type Outcome,
} from "../servers/asked-servers.ts";
import type { CliContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { renderTable } from "../table.ts";

/** One container of one server, as somebody knows it. */
export interface Candidate {
  readonly containerId: string;
  /** the owner's id */
  readonly serverId: string;
  /** the owner's name; null: it is no member */
  readonly server: string | null;
  readonly name: string;
  readonly service: string;
  readonly address: string | null;
  readonly state: string;
}

/** What all servers know of one container. */
export interface Search {
  readonly chosen: Candidate;
  readonly outcomes: readonly Outcome<InspectAnswer>[];
}

/** Engines and stores are read whole; the slowest of them gets this long after the first. */
const PATIENCE_MS = 10_000;

/**
 * Looks for the container in the engines and stores of all servers, then asks every server what it knows of that one.
 * Throws a JijiError when none matches, several match equally well (`json` lists them), or no server answers.
 */
export async function findContainer(
  context: CliContext,
  output: Output,
  servers: readonly AskedServer[],
  { container: text, json }: { readonly container: string; readonly json: boolean },
): Promise<Search> {
  const first = await inspectAll(context, servers, text);
  if (answersOf(first).size === 0) throw nobodyAnswered(first);
  const { candidates, isCut } = bestCandidates([...answersOf(first).values()]);
  const [chosen] = candidates;
  if (chosen === undefined) throw notFound(text, first);
  if (candidates.length > 1) {
    if (json) output.json(EXIT.failed, { container: null, candidates });
    throw ambiguous(text, candidates, isCut);
  }
  const isExact = chosen.containerId === text;
  return { chosen, outcomes: isExact ? first : await inspectAll(context, servers, chosen.containerId) };
}

function ambiguous(text: string, candidates: readonly Candidate[], isCut: boolean): JijiError {
  const rows = candidates.map(({ containerId, serverId, server, name, service, address, state }) => [
    `  ${containerId.slice(0, 12)}`,
    server ?? serverId,
    name,
    service,
    address ?? "-",
    state,
  ]);
  const count = isCut ? `more than ${candidates.length}` : String(candidates.length);
  const table = renderTable(["  CONTAINER", "SERVER", "NAME", "SERVICE", "ADDRESS", "STATE"], rows);
  return new JijiError("conflict", `${showText(text)} fits ${count} containers\n${table}`, {
    hint: "give more of the id, or a name that only one of them has",
  });
}

function inspectAll(
  context: CliContext,
  servers: readonly AskedServer[],
  container: string,
): Promise<readonly Outcome<InspectAnswer>[]> {
  return askAll(context, servers, (client) => client.ask("inspect", { container }), PATIENCE_MS);
}

function notFound(text: string, outcomes: readonly Outcome<InspectAnswer>[]): JijiError {
  const asked = [...answersOf(outcomes).keys()].join(", ");
  const silent = failuresOf(outcomes).map(({ server, error }) => `\n  ${server} was not asked: ${error.message}`);
  const blind = [...answersOf(outcomes)].flatMap(([server, { engine }]) =>
    engine.state === "unknown" ? [`\n  ${server}: its engine does not answer: ${engine.why}`] : [],
  );
  return new JijiError(
    "conflict",
    `no container is called ${showText(text)} on ${asked}${[...silent, ...blind].join("")}`,
    {
      hint: "jiji network dns shows all names; docker ps -a (or podman) on its server shows whether it is there",
    },
  );
}

type RankedCandidate = Candidate & { readonly rank: number; readonly isInEngine: boolean };

/** The containers that match best, each once. */
export function bestCandidates(answers: readonly InspectAnswer[]): {
  readonly candidates: readonly Candidate[];
  readonly isCut: boolean;
} {
  const found = new Map<string, RankedCandidate>();
  const add = (candidate: RankedCandidate): void => {
    const key = `${candidate.serverId} ${candidate.containerId}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, candidate);
    else if (candidate.rank < known.rank) found.set(key, { ...known, rank: candidate.rank });
  };
  // Engines first: they know the most.
  for (const { server, engine } of answers) {
    for (const side of engine.state === "found" ? engine.value : []) {
      const { project, service } = side.published ?? { project: "", service: "" };
      add({
        rank: side.rank,
        isInEngine: true,
        containerId: side.id,
        serverId: server.id,
        server: server.name,
        name: side.name,
        service: side.published === null ? "-" : `${project}-${service}`,
        address: side.address,
        state: side.state,
      });
    }
  }
  for (const { store } of answers) {
    for (const side of store.state === "found" ? store.value : []) {
      const { rank, containerId, serverId, server, name, project, service, address, state } = side;
      const isInEngine = false;
      add({ rank, isInEngine, containerId, serverId, server, name, service: `${project}-${service}`, address, state });
    }
  }
  // Rows of a server that is no member count only when no member has a match.
  const members = [...found.values()].filter(({ server }) => server !== null);
  const all = members.length > 0 ? members : [...found.values()];
  const best = Math.min(...all.map(({ rank }) => rank));
  // A server may claim another server's container in its rows. That must not make the search ambiguous.
  const inEngines = new Set(all.flatMap(({ isInEngine, containerId }) => (isInEngine ? [containerId] : [])));
  const candidates = all
    .filter(({ rank, isInEngine, containerId }) => rank === best && (isInEngine || !inEngines.has(containerId)))
    .map(({ rank: _rank, isInEngine: _isInEngine, ...candidate }) => candidate)
    .toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  return { candidates, isCut: answers.some(({ isCut }) => isCut) };
}

function placeOf({ server, serverId, name, containerId }: Candidate): string {
  return [server ?? serverId, name, containerId].join("\u0000");
}
