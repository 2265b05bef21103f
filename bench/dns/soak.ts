import { median, measure, untilAnswered } from "./measure.ts";
import { droppedAtPort, type Memory } from "./processes.ts";
import { FULL } from "./scenarios.ts";
import type { World } from "./world.ts";

/** What a long run under churn has shown. */
export interface SoakResult {
  readonly seconds: number;
  readonly questions: number;
  readonly answers: number;
  readonly wrong: number;
  readonly lost: number;
  /** what may be behind lost ones: questions that the server's socket, and answers that the load's sockets had no room for; late answers */
  readonly droppedQuestions: number;
  readonly droppedAnswers: number;
  readonly late: number;
  readonly changes: number;
  readonly snapshots: number;
  readonly firstWrong: string;
  readonly p99Us: number;
  readonly start: Memory;
  readonly end: Memory;
  /** once a minute */
  readonly rssMegabytes: readonly number[];
}

const RATE = 20_000;
const SLICE_SECONDS = 10;
const CHANGES_PER_SECOND = 50;
/** The subscription breaks off and a new table is built this often. */
const CUT_EVERY_SLICES = 3;

/** Questions at a steady rate while rows change and subscriptions break off; RSS is read before, during and after. */
export async function soak(world: World, seconds: number): Promise<SoakResult> {
  const sample = await world.sample(FULL.few, false);
  const server = await world.start("jiji", { names: sample.names, upstream: undefined, rows: sample.source.path });
  const changed = Math.ceil(sample.names.length / 10);
  const asked = sample.names.slice(0, -changed);
  const questions = await world.questions(asked);
  const load = (forSeconds: number) =>
    measure(server, { program: world.programs.load, questions, seconds: forSeconds, rate: RATE });
  const warm = await load(Math.min(SLICE_SECONDS, seconds));
  await Bun.sleep(FULL.settleMs * 2);
  const start = server.memory();
  let changes = 0;
  const churn = setInterval(() => {
    const container = sample.containers.length - 1 - ((changes >> 1) % (changed * 3));
    if (changes++ % 2 === 0) sample.source.remove(container);
    else sample.source.put(container);
  }, 1_000 / CHANGES_PER_SECOND);
  const runs = [warm];
  const rssMegabytes: number[] = [];
  let snapshots = 1;
  const endMs = performance.now() + seconds * 1_000;
  for (let slice = 0; performance.now() < endMs; slice++) {
    if (slice % CUT_EVERY_SLICES === CUT_EVERY_SLICES - 1) {
      sample.source.cut();
      snapshots++;
    }
    const run = await load(Math.min(SLICE_SECONDS, seconds));
    runs.push(run);
    if (run.lost > 0) {
      world.say(
        `soak: ${(slice + 1) * SLICE_SECONDS} s: ${run.lost} lost, ${run.late} late, ${run.droppedHere} answers dropped, ` +
          `${droppedAtPort(server.port)} questions dropped so far, worst tenth ${run.worstSlice} of ${run.medianSlice}, ` +
          `the load stood still for ${Math.round(run.longestPauseMs)} ms`,
      );
    }
    if (slice % 6 === 5) {
      rssMegabytes.push(Math.round(server.memory().rss));
      world.say(`soak: ${(slice + 1) * SLICE_SECONDS} s, ${rssMegabytes.at(-1)} MB`);
    }
  }
  clearInterval(churn);
  await Bun.sleep(Math.min(FULL.settleMs * 2, seconds * 1_000));
  const end = server.memory();
  const last = asked.at(-1);
  if (last !== undefined) await untilAnswered(server, last, 5_000);
  const droppedQuestions = droppedAtPort(server.port);
  await server.stop();
  const total = (value: (run: (typeof runs)[number]) => number): number =>
    runs.reduce((sum, run) => sum + value(run), 0);
  return {
    seconds: total((run) => run.seconds),
    questions: total((run) => run.sent),
    answers: total((run) => run.answered),
    wrong: total((run) => run.wrong),
    lost: total((run) => run.lost),
    droppedQuestions,
    droppedAnswers: total((run) => run.droppedHere),
    late: total((run) => run.late),
    changes,
    snapshots,
    firstWrong: runs.find(({ firstWrong }) => firstWrong !== "")?.firstWrong ?? "",
    p99Us: median(runs.map((run) => run.p99Us)),
    start,
    end,
    rssMegabytes,
  };
}
