import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { watchAnswersFrom, type AnswerWatch } from "../../lab/answers.ts";
import { findCorrosion } from "../../lab/corrosion-choice.ts";
import { ToolError } from "../../tools/errors.ts";
import { labNowMs } from "../../lab/event-log.ts";
import { waitFor } from "../../lab/wait.ts";
import { buildExecutable } from "../../tools/build.ts";
import { renderTable } from "../../src/cli/table.ts";
import { spreadOf, type Spread } from "../propagation/stages.ts";
import { addressOf, nameOf, SITES, siteOf, SUBJECT, type Size } from "./layout.ts";
import { makeSiteNetwork } from "./network.ts";
import {
  cpuMsOf,
  memoryOf,
  startDns,
  startSiteAgents,
  startSiteStore,
  startSubject,
  type Running,
  type SiteAgents,
  type SubjectAgent,
  type World,
} from "./processes.ts";

interface Options {
  readonly servers: string;
  readonly containers: string;
  readonly rate: string;
  readonly seconds: string;
  readonly json?: true;
}

interface Memory {
  readonly title: string;
  readonly residentMb: number;
  readonly anonymousMb: number;
}

interface Result {
  readonly size: Size;
  readonly rows: number;
  /** from the first write to the last row on every node */
  readonly loadMs: number;
  /** from the first write until jiji-dns answers the last name */
  readonly answeredMs: number;
  /** a fresh jiji-dns: from its start to its first answer of a container */
  readonly freshDnsMs: number;
  readonly loaded: readonly Memory[];
  readonly churn: {
    readonly perSecond: number;
    readonly written: number;
    readonly watched: number;
    readonly answered: Spread | undefined;
    readonly unanswered: number;
    readonly cpuPercent: readonly { readonly title: string; readonly percent: number }[];
    readonly memory: readonly Memory[];
    readonly heard: number;
    readonly dropped: Readonly<Record<string, number>>;
  };
}

/** `npm run bench -- scale`: the largest mesh through real stores, a real link between agents and a real jiji-dns. */
export async function scale(args: readonly string[]): Promise<number> {
  await new Command("scale")
    .description(
      "Loads the largest mesh through three Corrosion nodes and a jiji-dns, then changes containers steadily.",
    )
    .option("--servers <n>", "members of the mesh", "255")
    .option("--containers <n>", "containers of each", "253")
    .option("--rate <n>", "changes a second", "50")
    .option("--seconds <n>", "how long containers change", "40")
    .option("--json", "the figures as JSON on standard output")
    .action(async (options: Options) => {
      const result = await measure(options);
      console.log(options.json === true ? JSON.stringify(result, null, 2) : render(result));
    })
    .parseAsync([...args], { from: "user" });
  return 0;
}

async function measure(options: Options): Promise<Result> {
  const size = { servers: Number(options.servers), containers: Number(options.containers) };
  await buildExecutable({ onProgress: say });
  const corrosion = await findCorrosion(say);
  if (corrosion.kind !== "binary") throw new ToolError("there is no Corrosion here", "npm run corrosion builds it");
  const folder = mkdtempSync(join(tmpdir(), "jiji-scale-"));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "a-token-of-this-measurement\n");
  const network = await makeSiteNetwork(size.servers);
  const started: Running[] = [];
  try {
    const world: World = { network, folder, tokenFile };
    return await run(world, size, corrosion.path, options, started);
  } finally {
    for (const each of started.toReversed()) await each.stop();
    await network.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function say(line: string): void {
  console.error(`  ${line}`);
}

const PATIENCE_MS = 120_000;

async function run(world: World, size: Size, corrosion: string, options: Options, started: Running[]): Promise<Result> {
  const keep = <T extends Running>(each: T): T => {
    started.push(each);
    return each;
  };
  for (const site of SITES) keep(startSiteStore(world, site, corrosion));
  const sites = SITES.map((site) => keep(startSiteAgents(world, site, size)));
  for (const site of sites)
    await site.log.when(({ type }) => type === "ready", { timeoutMs: PATIENCE_MS, what: site.title });
  await waitFor(async () => (await rowsOf(sites, 5_000)).every((rows) => rows === 0), {
    timeoutMs: 60_000,
    what: "stores",
  });
  const subject = keep(await startSubject(world, size));
  const dns = keep(startDns(world));
  const rows = size.servers * size.containers;
  say(`loading ${rows} rows`);
  const last = { n: size.servers - 1, k: size.containers - 1 };
  const answers = await watch(world, [nameOf(last.n, last.k)]);
  const beganMs = labNowMs();
  for (const site of sites) site.tell({ type: "load" });
  const answered = answers.when(nameOf(last.n, last.k), isThere, { timeoutMs: 300_000 });
  for (const site of sites)
    await site.log.when(({ type }) => type === "loaded", { timeoutMs: 300_000, what: site.title });
  await waitFor(
    async () => {
      const seen = await rowsOf(sites, PATIENCE_MS);
      return { done: seen.every((count) => count === rows), seen };
    },
    { timeoutMs: 300_000, what: "every row on every node", intervalMs: 300 },
  );
  const loadMs = labNowMs() - beganMs;
  const answeredMs = (await answered).atMs - beganMs;
  await answers.close();
  await Bun.sleep(3_000);
  const loaded = started.map((each) => ({ title: each.title, ...memoryOf(each) }));
  say("a fresh jiji-dns");
  await dns.stop();
  const fresh = await restartDns(world, keep, last);
  const running = started.filter((each) => each !== dns);
  say(`${options.rate} changes a second for ${options.seconds} s`);
  const churn = await changeSteadily({ world, size, sites, subject, running }, options);
  return { size, rows, loadMs, answeredMs, freshDnsMs: fresh, loaded, churn };
}

function isThere({ addresses }: { readonly addresses: readonly string[] }): boolean {
  return addresses.length > 0;
}

function watch({ network }: World, names: readonly string[]): Promise<AnswerWatch> {
  const request = { server: "the measured server", dnsAddress: addressOf(SUBJECT), names, everyMs: 10 };
  return watchAnswersFrom(network.enter("a", []), request);
}

async function rowsOf(sites: readonly SiteAgents[], timeoutMs: number): Promise<readonly number[]> {
  return Promise.all(
    sites.map(async (site) => {
      const sinceMs = labNowMs();
      site.tell({ type: "count" });
      const event = await site.log.when(({ type, seenMs }) => type === "counted" && seenMs >= sinceMs, {
        timeoutMs,
        what: `${site.title} to count`,
      });
      return event.type === "counted" ? event.rows : Number.NaN;
    }),
  );
}

async function restartDns(
  world: World,
  keep: (each: Running) => Running,
  last: { readonly n: number; readonly k: number },
): Promise<number> {
  const sinceMs = labNowMs();
  keep(startDns(world));
  const answers = await watch(world, [nameOf(last.n, last.k)]);
  const { atMs } = await answers.when(nameOf(last.n, last.k), isThere, { timeoutMs: PATIENCE_MS });
  await answers.close();
  return atMs - sinceMs;
}

interface Churning {
  readonly world: World;
  readonly size: Size;
  readonly sites: readonly SiteAgents[];
  readonly subject: SubjectAgent;
  readonly running: readonly Running[];
}

/** One in so many changes is of a container whose name is watched. */
const WATCHED_SHARE = 10;
const WATCHED_NAMES = 12;

async function changeSteadily(churning: Churning, options: Options): Promise<Result["churn"]> {
  const { world, size, sites, subject, running } = churning;
  const [perSecond, seconds] = [Number(options.rate), Number(options.seconds)];
  // not the measured server's own, which has no agent here
  const watched = Array.from({ length: WATCHED_NAMES }, (_, i) => ({ n: 1 + ((i * 21) % (size.servers - 1)), k: i }));
  const answers = await watch(
    world,
    watched.map(({ n, k }) => nameOf(n, k)),
  );
  const cpuBefore = running.map((each) => cpuMsOf(each));
  const beganMs = labNowMs();
  const pending: Promise<number | undefined>[] = [];
  for (let number = 0; number < perSecond * seconds; number++) {
    const isWatched = number % WATCHED_SHARE === 0;
    const { n, k } = isWatched
      ? (watched[(number / WATCHED_SHARE) % WATCHED_NAMES] as { n: number; k: number })
      : {
          n: 1 + (number % (size.servers - 1)),
          k: WATCHED_NAMES + (Math.floor(number / 7) % (size.containers - WATCHED_NAMES)),
        };
    const site = sites[SITES.indexOf(siteOf(n))] as SiteAgents;
    if (isWatched) pending.push(delayOf(site, answers, nameOf(n, k), number));
    site.tell({ type: "change", n, k, number });
    await Bun.sleep(Math.max(0, beganMs + ((number + 1) * 1000) / perSecond - labNowMs()));
  }
  const delays = await Promise.all(pending);
  const tookMs = labNowMs() - beganMs;
  const cpuPercent = running.map((each, i) => ({
    title: each.title,
    percent: ((cpuMsOf(each) - (cpuBefore[i] ?? 0)) * 100) / tookMs,
  }));
  const answered = delays.filter((delay) => delay !== undefined);
  const written = sites.reduce((sum, { log }) => sum + log.events.filter(({ type }) => type === "written").length, 0);
  await answers.close();
  return {
    perSecond,
    written,
    watched: delays.length,
    answered: spreadOf(answered),
    unanswered: delays.length - answered.length,
    cpuPercent,
    memory: running.map((each) => ({ title: each.title, ...memoryOf(each) })),
    ...(await subject.report()),
  };
}

/** From the row's being written to its being answered; undefined: it never was. */
async function delayOf(
  site: SiteAgents,
  answers: AnswerWatch,
  name: string,
  number: number,
): Promise<number | undefined> {
  const sinceMs = labNowMs();
  try {
    const written = await site.log.when((event) => event.type === "written" && event.number === number, {
      timeoutMs: 30_000,
      what: "a row to be written",
    });
    if (written.type !== "written") return undefined;
    const isIt = ({ addresses }: { readonly addresses: readonly string[] }): boolean =>
      addresses.length > 0 === written.isHealthy;
    const { atMs } = await answers.when(name, isIt, { sinceMs, timeoutMs: 30_000 });
    return atMs - written.atMs;
  } catch {
    return undefined;
  }
}

function render(result: Result): string {
  const { size, rows, churn } = result;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const megabytes = (title: string, memories: readonly Memory[]): readonly string[][] =>
    memories.map((each) => [
      `${title}: ${each.title}`,
      `${each.residentMb.toFixed(0)} MB (${each.anonymousMb.toFixed(0)} of its own)`,
    ]);
  const ms = (value: number | undefined): string => (value === undefined ? "-" : `${value.toFixed(0)} ms`);
  return renderTable(
    [`${size.servers} servers × ${size.containers} containers`, `${rows} rows`],
    [
      ["first write → every row on every node", seconds(result.loadMs)],
      ["first write → jiji-dns answers the last name", seconds(result.answeredMs)],
      ["a fresh jiji-dns → its first answer", seconds(result.freshDnsMs)],
      ...megabytes("loaded", result.loaded),
      [
        `${churn.perSecond} changes a second`,
        `${churn.written} written, ${churn.watched} watched, ${churn.unanswered} never answered`,
      ],
      ["row written → answered, p50", ms(churn.answered?.p50)],
      ["row written → answered, p99", ms(churn.answered?.p99)],
      ["row written → answered, worst", ms(churn.answered?.worst)],
      ...churn.cpuPercent.map(({ title, percent }) => [`meanwhile: ${title}`, `${percent.toFixed(1)} % of a core`]),
      ...megabytes("afterwards", churn.memory),
      ["members that the measured agent hears", String(churn.heard)],
      ["datagrams that it dropped", JSON.stringify(churn.dropped)],
    ],
  );
}
