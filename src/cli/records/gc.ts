import { JijiError } from "../../model/errors.ts";
import { MAX_COLLECTED, MAX_RECHECKED, type GcDone, type GcRequest, type GcRow } from "../../model/node/gc.ts";
import { findGarbage, type Garbage, type GcView } from "../../plan/garbage.ts";
import {
  answersOf,
  askAll,
  connectAll,
  failuresOf,
  nobodyAnswered,
  type AskedServer,
} from "../servers/asked-servers.ts";
import type { CliContext } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { renderGarbage, renderOutcome, type GcOutcome, type Unasked } from "./gc-text.ts";
import type { NodeClient } from "../servers/node-client.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import type { Output } from "../output.ts";

export interface GcOptions extends MeshOptions {
  /** delete, and not only show */
  readonly force: boolean;
  readonly yes: boolean;
}

/** A slow server takes some seconds to read or compare the rows of a full mesh. */
const PATIENCE_MS = 20_000;

interface Work {
  readonly context: CliContext;
  readonly output: Output;
  readonly options: GcOptions;
  readonly asked: readonly AskedServer[];
}

/**
 * `jiji network gc`: stale rows, which no server owns any more, and numbers of removed servers that are still taken. Shows
 * them; with `force` asks, deletes removed servers' rows, has living owners' agents delete their own, frees the numbers.
 */
export async function networkGc(context: CliContext, output: Output, options: GcOptions): Promise<ExitCode> {
  checkOptions(context, options);
  return withMesh(context, options, async (mesh) => {
    const work: Work = { context, output, options, asked: connectAll(mesh) };
    const outcomes = await askAll(context, work.asked, observe, PATIENCE_MS);
    const views = [...answersOf(outcomes).values()];
    if (views.length === 0) throw nobodyAnswered(outcomes);
    const unasked: Unasked[] = failuresOf(outcomes).map(({ server, error }) => ({ server, why: error.message }));
    const garbage = findGarbage(views);
    if (!options.json) output.data(renderGarbage(garbage, views, output.colors));
    const outcome = options.force ? await collect(work, garbage, views) : undefined;
    return finish(output, options, { garbage, views, unasked, outcome });
  });
}

function checkOptions(context: CliContext, { force, yes }: GcOptions): void {
  if (yes && !force) {
    throw new JijiError("usage", "--yes belongs to --force", { hint: "without --force nothing is deleted" });
  }
  if (!force || yes || context.canAsk) return;
  throw new JijiError("usage", "there is no terminal to ask at", {
    hint: "without --force it only shows; --force --yes goes ahead",
  });
}

async function observe(client: NodeClient, server: string): Promise<GcView> {
  const rows: GcRow[] = [];
  const seen = await client.askUntil("gc", { action: "observe" }, "seen", (line) => {
    if (line.type === "rows") rows.push(...line.rows);
  });
  return { server, seen, rows };
}

/** Whether there is anything to do. */
function hasWork({ stale, removed }: Garbage): boolean {
  return stale.length > 0 || removed.some(({ openOn }) => openOn.length > 0);
}

async function collect(
  { context, options, asked }: Work,
  garbage: Garbage,
  views: readonly GcView[],
): Promise<GcOutcome | undefined> {
  const others = membersNotAsked(garbage, views);
  if (!hasWork(garbage) && others.length === 0) return undefined;
  if (hasWork(garbage) && !options.yes && !(await context.ask(questionOf(garbage)))) {
    throw new JijiError("cancelled", "nothing was deleted");
  }
  const done: GcOutcome = { servers: [], failed: [] };
  // Removals by operators come first: rows that anyone can write must not push them out of the request.
  const isOnlyStored = ({ name }: Garbage["removed"][number]): number => (name === "" ? 1 : 0);
  const removed = garbage.removed.toSorted((a, b) => isOnlyStored(a) - isOnlyStored(b)).slice(0, MAX_COLLECTED);
  // The first store that accepts it deletes the rows; only then do servers free the numbers. Where the list was cut
  // short, rows of a removed server may be missing from it.
  const areAllListed = garbage.removed.length === 0 || views.every(({ seen }) => seen.unlisted === 0);
  let hasDeleted = areAllListed && !garbage.stale.some(({ by }) => by === "delete");
  for (const { server, seen } of views) {
    const own = garbage.stale.some(({ by, owner }) => by === "owner" && owner === seen.self);
    const request: GcRequest = {
      action: "collect",
      removed: removed.map(({ id, name }) => ({ id, name })),
      deleteRows: !hasDeleted,
      recheckOwn: own,
      recheckOthers: done.servers.length === 0 ? others.slice(0, MAX_RECHECKED) : [],
    };
    const outcome = await askOne(context, asked, server, request);
    if (outcome instanceof JijiError) {
      done.failed.push({ server, why: outcome.message });
      continue;
    }
    hasDeleted ||= outcome.deleted !== null;
    done.servers.push({ server, done: outcome });
  }
  return done;
}

/** Members that did not answer. Another member's agent asks theirs to check their rows. */
function membersNotAsked({ removed }: Garbage, views: readonly GcView[]): string[] {
  const known = new Set<string | null>([...views.map(({ seen }) => seen.self), ...removed.map(({ id }) => id)]);
  const members = new Set<string>(views.flatMap(({ seen }) => seen.members.map(({ id }) => id)));
  return [...members].filter((id) => !known.has(id)).toSorted();
}

function questionOf({ stale, removed }: Garbage): string {
  const rows = stale.filter(({ by }) => by === "delete").length;
  const own = stale.length - rows;
  const numbers = removed.filter(({ openOn }) => openOn.length > 0).length;
  const parts = [
    ...(rows > 0 ? [`delete ${count(rows, "row")} of removed servers`] : []),
    ...(own > 0 ? [`have ${count(own, "row")} deleted by their own servers`] : []),
    ...(numbers > 0 ? [`free the ${numbers === 1 ? "number" : `${numbers} numbers`} of removed servers`] : []),
  ];
  const text = parts.join(", ").replace(/, (?=[^,]*$)/, " and ");
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}?`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

async function askOne(
  context: CliContext,
  asked: readonly AskedServer[],
  server: string,
  request: GcRequest,
): Promise<GcDone | JijiError> {
  const chosen = asked.filter(({ name }) => name === server);
  const ask = (client: NodeClient): Promise<GcDone> => client.askUntil("gc", request, "collected");
  const [outcome] = await askAll(context, chosen, ask, PATIENCE_MS);
  if (outcome === undefined) return new JijiError("connection", "it was not asked");
  return outcome.state === "answered" ? outcome.value : outcome.error;
}

interface Report {
  readonly garbage: Garbage;
  readonly views: readonly GcView[];
  readonly unasked: readonly Unasked[];
  readonly outcome: GcOutcome | undefined;
}

function finish(output: Output, options: GcOptions, report: Report): ExitCode {
  const { garbage, views, unasked, outcome } = report;
  const problems = problemsOf(report);
  const code = problems.length === 0 && unasked.length === 0 ? EXIT.ok : EXIT.partly;
  if (options.json) output.json(code, toJson(report, options));
  for (const { server, why } of unasked)
    output.warn(`${server} was not asked, so its own rows stay as they are: ${why}`);
  for (const { server, why } of problems) output.error(`${server}: ${why}`);
  if (outcome !== undefined) output.progress(renderOutcome(outcome, garbage, views));
  else if (hasWork(garbage)) output.progress("dry run: nothing was deleted; --force deletes, after asking");
  return code;
}

/** What should have been done and was not. */
function problemsOf({ outcome }: Report): readonly Unasked[] {
  if (outcome === undefined) return [];
  const inside = outcome.servers.flatMap(({ server, done }) => [
    ...done.problems.map((why) => ({ server, why })),
    ...((done.left ?? 0) > 0 ? [{ server, why: `its agent left ${count(done.left ?? 0, "row")} as they were` }] : []),
  ]);
  return [...outcome.failed, ...inside];
}

function toJson({ garbage, views, unasked, outcome }: Report, { force }: GcOptions): object {
  return {
    dryRun: !force,
    asked: views.map(({ server }) => server),
    unasked,
    ...garbage,
    outcome: outcome ?? null,
  };
}
