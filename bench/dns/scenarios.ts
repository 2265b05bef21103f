import type { Contender, ContenderName, Job } from "./contenders.ts";
import { measure, untilAnswered, type Measured } from "./measure.ts";
import { LOAD_CORE, SERVER_CORE, startPinned, type Memory } from "./processes.ts";
import { makeForwardedNames, type SampleName } from "./sample.ts";
import type { LoadedSample, World } from "./world.ts";

/** How long and how often to measure. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
  /** enough for a snapshot to be taken in beside full load on the same core */
  readonly swapSeconds: number;
  /** services of the small and of the large mesh, of three containers each */
  readonly few: number;
  readonly many: number;
  /** names of others that are asked for */
  readonly forwarded: number;
  /** how often a start is timed, and a change */
  readonly starts: number;
  readonly changes: number;
  /** from the start of a server to the reading of its memory */
  readonly settleMs: number;
}

/** 1,000 names; and the containers of a full /16, 255 servers with 253 each. */
export const FULL: Effort = {
  rounds: 9,
  seconds: 1,
  swapSeconds: 20,
  few: 1_000,
  many: 21_505,
  forwarded: 1_000,
  starts: 3,
  changes: 100,
  settleMs: 8_000,
};

/** Enough to see that it works. */
export const SMOKE: Effort = {
  rounds: 1,
  seconds: 0.1,
  swapSeconds: 2,
  few: 50,
  many: 100,
  forwarded: 50,
  starts: 1,
  changes: 5,
  settleMs: 100,
};

/** The rate at which processor time is compared. */
const FIXED_RATE = 60_000;

const CHANGES_PER_SECOND = 50;

/** Snapshots that are taken in under load; each takes a while. */
const SWAPS = 3;

/** The rate beside busy containers, which is what a few of them ask, and how many of those there are. */
const BUSY_RATE = 5_000;
const BUSY_PROGRAMS = 2;

/** Runs by server, in the order of rounds; a server that is missing was not there. */
export type Runs = Partial<Record<ContenderName, readonly Measured[]>>;

async function inRounds(
  world: World,
  what: string,
  contenders: readonly Contender[],
  rounds: number,
  run: (contender: Contender) => Promise<Measured>,
): Promise<Runs> {
  const runs: Partial<Record<ContenderName, Measured[]>> = {};
  // Once without being counted: just-in-time compilers have their say, and caches are filled.
  for (const contender of contenders) await run(contender);
  for (let round = 0; round < rounds; round++) {
    // Each begins once, so that none has always the same neighbour.
    const first = round % contenders.length;
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      const measured = await run(contender);
      (runs[contender.name] ??= []).push(measured);
      world.say(
        `${what} ${round + 1}/${rounds} ${contender.name}: ${Math.round(measured.answersPerSecond)}/s, ` +
          `${measured.processorUsPerAnswer.toFixed(2)} µs, p99 ${measured.p99Us} µs (usually ${measured.usualP99Us}), ${measured.lost} lost` +
          (measured.wrong === 0 ? "" : `, ${measured.wrong} WRONG: ${measured.firstWrong}`),
      );
    }
  }
  return runs;
}

export interface PlainResult {
  readonly full: Runs;
  readonly fixed: Runs;
  /** half of what the C loop answers at most */
  readonly halfRate: number;
  readonly half: Runs;
  readonly memory: Partial<Record<ContenderName, Memory>>;
  /** after all the load */
  readonly memoryAfter: Partial<Record<ContenderName, Memory>>;
}

export interface BusyResult {
  readonly rate: number;
  readonly runs: Runs;
}

/** 1,000 own names, asked at a low rate, while programs that never pause use the server's core, as containers may. */
export async function measureBusy(world: World, effort: Effort): Promise<BusyResult> {
  const { contenders, load } = await startPlain(world, effort, { isService: true });
  const spin = ["sh", "-c", "while :; do :; done"];
  const programs = Array.from({ length: BUSY_PROGRAMS }, () => startPinned(spin, world.folder, [SERVER_CORE]));
  const runs = await inRounds(world, `${BUSY_RATE}/s beside busy programs`, contenders, effort.rounds, load(BUSY_RATE));
  await Promise.all([...programs, ...contenders].map((one) => one.stop()));
  return { rate: BUSY_RATE, runs };
}

/** Own names, 1,000 of them with three addresses each: full load, a fixed rate, half load, memory before all that. */
export async function measurePlain(world: World, effort: Effort): Promise<PlainResult> {
  const { contenders, load } = await startPlain(world, effort, { isService: false });
  const memoryNow = () => Object.fromEntries(contenders.map((contender) => [contender.name, contender.memory()]));
  const memory = memoryNow();
  const full = await inRounds(world, "full load", contenders, effort.rounds, load(0));
  const fixed = await inRounds(world, "60,000/s", contenders, effort.rounds, load(FIXED_RATE));
  const limit = Math.max(...(full["c-loop"] ?? []).map(({ answersPerSecond }) => answersPerSecond));
  const halfRate = Math.max(1_000, Math.round(limit / 2_000) * 1_000);
  const half = await inRounds(world, `${halfRate}/s`, contenders, effort.rounds, load(halfRate));
  await Bun.sleep(2 * effort.settleMs);
  const memoryAfter = memoryNow();
  await Promise.all(contenders.map((contender) => contender.stop()));
  return { full, fixed, halfRate, half, memory, memoryAfter };
}

/** Starts everybody with the same names; `load` puts one of them under load, at a rate or, with 0, as it can. */
async function startPlain(world: World, effort: Effort, { isService }: { readonly isService: boolean }) {
  const sample = await world.sample(effort.few, false);
  const job: Job = { names: sample.names, upstream: undefined, rows: sample.source.path };
  const contenders: Contender[] = [];
  for (const name of ["c-loop", "jiji", ...world.peers.keys()] as const) {
    contenders.push(await world.start(name, job, { isService, ...(name === "c-loop" && { awaits: anyName() }) }));
  }
  for (const contender of contenders) await world.giveRoom(contender);
  // What a start leaves behind is given back within a few seconds.
  await Bun.sleep(effort.settleMs);
  const cLoopQuestions = await world.questions(sample.names.map(({ name }) => ({ ...anyName(), name })));
  const load = (rate: number) => (contender: Contender) =>
    measure(contender, {
      program: world.programs.load,
      questions: contender.name === "c-loop" ? cLoopQuestions : sample.questions,
      seconds: effort.seconds,
      rate,
    });
  return { contenders, load };
}

/** The C loop gives everybody the same three addresses. */
function anyName(): SampleName {
  return { ...(makeForwardedNames(1)[0] as SampleName), name: "bench-s0.jiji" };
}

export interface ManyResult {
  /** jiji-dns alone at full load, with 1,000 names and with 64,515 containers, in turns */
  readonly few: readonly Measured[];
  readonly many: readonly Measured[];
  readonly memory: Memory;
  /** after all the load */
  readonly memoryAfter: Memory;
  /** from the start of the process to the first right answer, ms: with rows to subscribe to, and with the saved table alone */
  readonly fromRowsMs: readonly number[];
  readonly fromSavedMs: readonly number[];
}

/** jiji-dns with as many containers as a mesh can have. */
export async function measureMany(world: World, effort: Effort): Promise<ManyResult> {
  const few = await world.sample(effort.few, false);
  const many = await world.sample(effort.many, true);
  const jobOf = (sample: LoadedSample): Job => ({ names: sample.names, upstream: undefined, rows: sample.source.path });
  const starts = await measureStarts(world, many, effort.starts);
  const small = await world.start("jiji", jobOf(few));
  const large = await world.start("jiji", jobOf(many));
  await Bun.sleep(effort.settleMs);
  const memory = large.memory();
  const runs: Record<"few" | "many", Measured[]> = { few: [], many: [] };
  for (let round = -1; round < effort.rounds; round++) {
    for (const [key, server, { questions }] of [
      ["few", small, few],
      ["many", large, many],
    ] as const) {
      const load = { program: world.programs.load, questions, seconds: effort.seconds, rate: 0 };
      const measured = await measure(server, load);
      if (round < 0) continue;
      runs[key].push(measured);
      world.say(
        `${key} ${round + 1}/${effort.rounds}: ${Math.round(measured.answersPerSecond)}/s, ` +
          `${measured.processorUsPerAnswer.toFixed(2)} µs, ${measured.wrong} wrong ${measured.firstWrong}`,
      );
    }
  }
  await Bun.sleep(2 * effort.settleMs);
  const memoryAfter = large.memory();
  await Promise.all([small.stop(), large.stop()]);
  return { ...runs, memory, memoryAfter, ...starts };
}

/** From nothing to the first right answer, with both cores, as no load runs meanwhile: with rows to subscribe to, then with the saved table alone. */
async function measureStarts(world: World, many: LoadedSample, starts: number) {
  const fromRowsMs: number[] = [];
  const fromSavedMs: number[] = [];
  for (let round = 0; round < starts; round++) {
    const job: Job = { names: many.names, upstream: undefined, rows: many.source.path };
    const folder = await world.fresh("start");
    for (const [times, rows] of [
      [fromRowsMs, job.rows],
      [fromSavedMs, `${folder}/nobody.sock`],
    ] as const) {
      const beganMs = performance.now();
      const server = await world.start("jiji", { ...job, rows }, { folder, cores: [SERVER_CORE, LOAD_CORE] });
      times.push(performance.now() - beganMs);
      await server.stop(); // saves its table
    }
    for (const ms of [...fromRowsMs.slice(-1), ...fromSavedMs.slice(-1)]) world.say(`start: ${Math.round(ms)} ms`);
  }
  return { fromRowsMs, fromSavedMs };
}

export interface ChangesResult {
  readonly quiet: readonly Measured[];
  readonly changing: readonly Measured[];
  /** without changes, right before each of the next */
  readonly beside: readonly Measured[];
  /** a whole snapshot came, and a new table took the place of the old, during each of these */
  readonly swapping: readonly Measured[];
  /** from the row's arrival to its answer, without load, and under full load */
  readonly changeMs: readonly number[];
  readonly busyChangeMs: readonly number[];
}

/** 64,515 containers under full load while rows change, and while the whole table is swapped. */
export async function measureChanges(world: World, effort: Effort): Promise<ChangesResult> {
  const sample = await world.sample(effort.many, true);
  const job: Job = { names: sample.names, upstream: undefined, rows: sample.source.path };
  const server = await world.start("jiji", job, { isService: true });
  await Bun.sleep(effort.settleMs);
  const changeMs: number[] = [];
  for (let i = 0; i < effort.changes; i++) changeMs.push(await timeChange(sample, server, i));
  // Names that are asked for stay as they are, so that their answers can be checked; the last tenth changes.
  const changed = Math.ceil(sample.names.length / 10);
  const questions = await world.questions(sample.names.slice(0, -changed));
  const load = (seconds: number) => measure(server, { program: world.programs.load, questions, seconds, rate: 0 });
  let turn = 0;
  const changeOne = (): void => {
    const container = sample.containers.length - 1 - ((turn >> 1) % changed);
    if (turn++ % 2 === 0) sample.source.remove(container);
    else sample.source.put(container);
  };
  const none = (): Measured[] => [];
  const runs = { quiet: none(), changing: none(), beside: none(), swapping: none() };
  const say = (kind: keyof typeof runs, run: Measured): void => {
    runs[kind].push(run);
    world.say(
      `${kind} ${runs[kind].length}: ${Math.round(run.answersPerSecond)}/s, worst tenth ${run.worstSlice}, ` +
        `usual ${run.medianSlice}, p99 ${run.p99Us} µs, ${run.wrong} wrong, ${run.lost} lost`,
    );
  };
  for (let round = 0; round < effort.rounds; round++) {
    say("quiet", await load(effort.seconds));
    const changing = setInterval(changeOne, 1_000 / CHANGES_PER_SECOND);
    say("changing", await load(effort.seconds));
    clearInterval(changing);
    // What was taken away is put back, or its name would lack an address later.
    if (turn % 2 !== 0) changeOne();
  }
  for (let round = 0; round < SWAPS; round++) {
    const before = await tablesOf(server);
    // Compared with what is right beside it, for a machine that others share has faster and slower minutes.
    say("beside", await load(effort.swapSeconds / 5));
    const swap = setTimeout(() => sample.source.cut(), effort.seconds * 250);
    say("swapping", await load(effort.swapSeconds));
    clearTimeout(swap);
    if ((await tablesOf(server)) === before)
      throw new Error(`no new table within ${effort.swapSeconds} s of full load`);
    await Bun.sleep(effort.settleMs);
  }
  const busyChangeMs: number[] = [];
  const busy = load(effort.swapSeconds / 2);
  const endMs = performance.now() + (effort.swapSeconds / 2) * 900;
  for (let i = 0; performance.now() < endMs; i++) {
    // Of those that the load does not ask for.
    busyChangeMs.push(await timeChange(sample, server, sample.names.length - 1 - (i % changed)));
  }
  await busy;
  await server.stop();
  return { ...runs, changeMs, busyChangeMs };
}

/** Whole tables that jiji-dns has written since its start, from its metrics. */
async function tablesOf(server: Contender): Promise<number> {
  const { metrics } = JSON.parse(server.output()) as { metrics: { host: string; port: number } };
  const page = await (await fetch(`http://${metrics.host}:${metrics.port}/metrics`)).text();
  return Number(/^jiji_dns_tables_total (\d+)/m.exec(page)?.[1]);
}

async function timeChange(sample: LoadedSample, server: Contender, index: number): Promise<number> {
  const { name, addresses } = sample.names[index] as SampleName;
  sample.source.remove(index * 3);
  const tookMs = await untilAnswered(server, { name, addresses: addresses.slice(1) }, 5_000);
  sample.source.put(index * 3);
  await untilAnswered(server, { name, addresses }, 5_000);
  return tookMs;
}

/** Names of others, kept in the cache: 1,000 of them, asked until all are there, then measured at full load. */
export async function measureForwards(world: World, effort: Effort): Promise<Runs> {
  const sample = await world.sample(1, false);
  const upstream = await world.start("c-loop", { names: [], upstream: undefined, rows: "" }, { awaits: anyName() });
  const names = makeForwardedNames(effort.forwarded);
  const questions = await world.questions(names);
  const job: Job = { names: sample.names, upstream, rows: sample.source.path };
  const contenders: Contender[] = [];
  for (const name of ["jiji", ...world.peers.keys()] as const) {
    if (name !== "knot") contenders.push(await world.start(name, job));
  }
  for (const contender of contenders) {
    for (const name of names) await untilAnswered(contender, name, 5_000);
  }
  const runs = await inRounds(world, "cached", contenders, effort.rounds, (contender) =>
    measure(contender, { program: world.programs.load, questions, seconds: effort.seconds, rate: 0 }),
  );
  await Promise.all([...contenders, upstream].map((contender) => contender.stop()));
  return runs;
}
