import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { barsOf, isMet, type Results } from "./bars.ts";
import { formatResults } from "./report.ts";
import {
  FULL,
  measureBusy,
  measureChanges,
  measureForwards,
  measureMany,
  measurePlain,
  SMOKE,
  type Effort,
} from "./scenarios.ts";
import { soak } from "./soak.ts";
import { openWorld, type World } from "./world.ts";

const PARTS = ["plain", "busy", "forward", "many", "changes"] as const;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly json?: true;
  readonly jiji?: string;
  readonly peers: boolean;
  readonly smoke?: true;
  readonly soak?: number | true;
}

const SOAK_SECONDS = 600;

function positive(text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new InvalidArgumentError("not a number above 0");
  return number;
}

/**
 * `npm run bench -- dns`: jiji-dns beside the C loop, Knot, unbound, dnsmasq and CoreDNS, one core for the server and one
 * for the load. Exit code 0 also when a bar is missed; 1 when an answer was wrong.
 */
export async function dnsBench(args: readonly string[]): Promise<number> {
  const program = new Command("npm run bench -- dns")
    .argument("[part...]", `what to measure: ${PARTS.join(", ")}; default: all`)
    .option("--rounds <n>", "rounds, of which medians are taken", positive, FULL.rounds)
    .option("--seconds <s>", "for how long each server is put under load in each round", positive, FULL.seconds)
    .option("--json", "print JSON: each run, and the bars")
    .option("--jiji <file>", "the executable to measure; default: the one that npm run build makes")
    .option("--no-peers", "jiji-dns and the C loop only")
    .option("--smoke", "one tiny round of everything with few containers, to see that it works")
    .option(
      "--soak [seconds]",
      `questions, changes and broken subscriptions; default: ${SOAK_SECONDS} seconds`,
      positive,
    )
    .parse([...args], { from: "user" });
  const options = program.opts<Options>();
  const unknown = program.args.filter((part) => !PARTS.some((known) => known === part));
  if (unknown.length > 0) program.error(`error: no part is called ${unknown.join(", ")}`);
  if (availableParallelism() < 2) program.error("error: one core for the server and one for the load are needed");
  const world = await openWorld({
    say: (line) => console.error(line),
    hasPeers: options.peers && options.smoke !== true && options.soak === undefined,
    ...(options.jiji !== undefined && { jiji: options.jiji }),
  });
  try {
    if (options.soak !== undefined) return await runSoak(world, options.soak, options.json === true);
    const parts = program.args.length === 0 ? PARTS : PARTS.filter((part) => program.args.includes(part));
    const results = await measureParts(world, parts, options);
    const bars = barsOf(results).map((bar) => ({ ...bar, met: isMet(bar) }));
    console.log(options.json === true ? JSON.stringify({ ...results, bars }, null, 2) : formatResults(results));
    return countWrong(results) === 0 ? 0 : 1;
  } finally {
    await world.close();
  }
}

async function measureParts(
  world: World,
  parts: readonly (typeof PARTS)[number][],
  options: Pick<Options, "rounds" | "seconds" | "smoke">,
): Promise<Results> {
  const { rounds, seconds, smoke } = options;
  const effort: Effort = smoke === true ? SMOKE : { ...FULL, rounds, seconds };
  return {
    ...(parts.includes("plain") && { plain: await measurePlain(world, effort) }),
    ...(parts.includes("busy") && { busy: await measureBusy(world, effort) }),
    ...(parts.includes("forward") && { forward: await measureForwards(world, effort) }),
    ...(parts.includes("many") && { many: await measureMany(world, effort) }),
    ...(parts.includes("changes") && { changes: await measureChanges(world, effort) }),
  };
}

async function runSoak(world: World, seconds: number | true, isJson: boolean): Promise<number> {
  const result = await soak(world, seconds === true ? SOAK_SECONDS : seconds);
  if (isJson) console.log(JSON.stringify(result, null, 2));
  else {
    const {
      questions,
      answers,
      wrong,
      lost,
      late,
      droppedQuestions,
      droppedAnswers,
      changes,
      snapshots,
      start,
      end,
      p99Us,
    } = result;
    console.log(
      `${result.seconds} s: ${questions} questions, ${answers} right answers, ${wrong} wrong, ${lost} lost, p99 ${p99Us} µs\n` +
        `${late} answers came late, ${droppedQuestions} questions and ${droppedAnswers} answers found a socket full\n` +
        `${changes} changes, ${snapshots} snapshots\n` +
        `RSS ${start.rss.toFixed(1)} MB at the start, ${end.rss.toFixed(1)} MB at the end (${result.rssMegabytes.join(" ")})`,
    );
  }
  return result.wrong === 0 ? 0 : 1;
}

/** Wrong answers of anybody in all runs. */
function countWrong(results: Results): number {
  let wrong = 0;
  JSON.stringify(results, (key, value: unknown) => {
    if (key === "wrong" && typeof value === "number") wrong += value;
    return value;
  });
  return wrong;
}
