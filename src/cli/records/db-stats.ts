import { JijiError } from "../../model/errors.ts";
import type { QueryEvent } from "../../model/node/query.ts";
import { showJson } from "../../model/shown-text.ts";
import { NoAnswer } from "../servers/any-server.ts";
import {
  answersOf,
  askAll,
  connectAll,
  failuresOf,
  nobodyAnswered,
  type AskedServer,
  type Outcome,
} from "../servers/asked-servers.ts";
import type { CliContext } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { NodeClient } from "../servers/node-client.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import type { Output } from "../output.ts";
import { openQuery } from "./query-client.ts";
import { diffStores, lastingDifferences, versionsBehind, type StoreView } from "./store-differences.ts";
import { renderStats, statsJson, type StatsReport } from "./stats-text.ts";

type Figures = Extract<QueryEvent, { type: "figures" }>;

/** A change reaches every server in less than this, or something is wrong. */
const SECOND_LOOK_MS = 3000;

/** Counting a full mesh's rows takes a second on a slow server. */
const PATIENCE_MS = 15_000;

/**
 * `jiji network db stats`: what each server's store holds and how far its replication is. Exit 5 when stores differ for
 * longer than a change takes, or lack versions; 4 when some servers could not be asked.
 */
export async function networkDbStats(context: CliContext, output: Output, options: MeshOptions): Promise<ExitCode> {
  return withMesh(context, options, async (mesh) => {
    const report = await look(context, output, connectAll(mesh));
    const code = exitCode(report);
    if (options.json) output.json(code, statsJson(report));
    else output.data(renderStats(report, output.colors, output.verbosity === "verbose"));
    for (const { server, why, hint } of report.unasked) output.warn(`${server}: ${why}`, hint);
    return code;
  });
}

function exitCode({ differences, unasked, servers }: StatsReport): ExitCode {
  if (differences.length > 0 || servers.some(lacksVersions)) return EXIT.unhealthy;
  return unasked.length > 0 ? EXIT.partly : EXIT.ok;
}

/** Figures, or why there are none: another server holds the only store. */
type Answer = Figures | NoAnswer;

async function look(context: CliContext, output: Output, asked: readonly AskedServer[]): Promise<StatsReport> {
  const first = await askAll(context, asked, figuresOf, PATIENCE_MS);
  if (viewsOf(first).length === 0) throw nobody(first);
  const isSettled = diffStores(viewsOf(first)).length === 0 && !viewsOf(first).some(lacksVersions);
  if (isSettled) return reportOf(first, []);
  output.progress("the stores differ now; looking again whether that lasts …");
  await context.clock.sleep(SECOND_LOOK_MS, context.interrupted);
  const answered = asked.filter(({ name }) => answersOf(first).has(name));
  const second = await askAll(context, answered, figuresOf, PATIENCE_MS);
  const differences = lastingDifferences(diffStores(viewsOf(first)), diffStores(viewsOf(second)));
  return reportOf([...second, ...failuresOf(first)], differences);
}

function nobody(outcomes: readonly Outcome<Answer>[]): JijiError {
  const [elsewhere] = answersOf(outcomes).values();
  if (!(elsewhere instanceof NoAnswer)) return nobodyAnswered(outcomes);
  return new JijiError("connection", "the server that holds the store did not answer", { hint: elsewhere.why });
}

function lacksVersions({ figures }: Pick<Figures, "figures">): boolean {
  return (figures.replication?.missing ?? 0) > 0;
}

async function figuresOf(client: NodeClient): Promise<Answer> {
  const answer = await openQuery(client, { mode: "figures" });
  if (answer instanceof NoAnswer) {
    if (answer.isElsewhere) return answer;
    throw new JijiError("remote", answer.why, { hint: answer.hint });
  }
  answer.close();
  if (answer.first.type === "figures") return showJson(answer.first) as Figures;
  throw new JijiError("remote", "it gave an answer that this release does not understand");
}

function viewsOf(outcomes: readonly Outcome<Answer>[]): readonly StoreView[] {
  return [...answersOf(outcomes)].flatMap(([server, answer]) =>
    answer instanceof NoAnswer ? [] : [{ server, self: answer.self, figures: answer.figures }],
  );
}

function reportOf(outcomes: readonly Outcome<Answer>[], differences: StatsReport["differences"]): StatsReport {
  const answers = [...answersOf(outcomes)];
  const behind = versionsBehind(viewsOf(outcomes));
  return {
    servers: answers.flatMap(([server, answer]) =>
      answer instanceof NoAnswer ? [] : [{ ...withoutType(answer), server, behind: behind.get(server) ?? 0 }],
    ),
    without: answers.flatMap(([server, answer]) => (answer instanceof NoAnswer ? [server] : [])),
    differences,
    unasked: failuresOf(outcomes).map(({ server, error }) => ({ server, why: error.message, hint: error.hint })),
  };
}

function withoutType({ type: _type, ...figures }: Figures): Omit<Figures, "type"> {
  return figures;
}
