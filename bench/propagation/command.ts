import { loadavg } from "node:os";
import { Command } from "commander";
import { watchAnswers, type AnswerWatch } from "../../lab/answers.ts";
import { labNowMs } from "../../lab/event-log.ts";
import { expectSuccess } from "../../lab/jiji.ts";
import { keepLab, type Impairment } from "../../lab/lab.ts";
import { openMesh, startMesh, type LabMesh } from "../../lab/mesh.ts";
import { labImage } from "../../lab/server-image.ts";
import { waitFor } from "../../lab/wait.ts";
import { renderTable } from "../../src/cli/table.ts";
import type { ContainerRecord } from "../../src/model/container-record.ts";
import { PATHS } from "../../src/model/paths.ts";
import { spyOnDocker, spyOnNews, spyOnStore, type DockerSpy, type Spy } from "./spies.ts";
import { spreadOf, stageRows, type Conditions, type Sample, type Spread, type StageRow } from "./stages.ts";

const SOURCE = "web1";
const OTHERS = ["db1", "home"] as const;
const NAME = "bench-web.jiji";

/** What each server's link does to every frame, each way; a packet between two servers passes two of them. */
interface Scenario {
  readonly title: string;
  readonly impairment: Impairment | null;
  readonly hasNews: boolean;
}

const SCENARIOS = {
  near: { title: "the lab's own round trip", impairment: null, hasNews: true },
  far: { title: "40 ms round trip", impairment: { delayMs: 10, lossPercent: 0 }, hasNews: true },
  loss: {
    title: "40 ms round trip, 5 % loss each way",
    impairment: { delayMs: 10, lossPercent: 2.53 },
    hasNews: true,
  },
  "near-store": { title: "the lab's own round trip, news off", impairment: null, hasNews: false },
  "far-store": {
    title: "40 ms round trip, news off",
    impairment: { delayMs: 10, lossPercent: 0 },
    hasNews: false,
  },
} as const satisfies Record<string, Scenario>;

type ScenarioName = keyof typeof SCENARIOS;

interface Options {
  readonly only?: string;
  readonly samples: string;
  readonly lab?: string;
  readonly setup?: true;
  readonly json?: true;
}

interface Result {
  /** of the machine, over the last minute: with more than its cores the slowest times are about waiting for one */
  readonly load: number;
  readonly scenario: string;
  readonly title: string;
  readonly conditions: Conditions;
  readonly samples: number;
  /** half the round trips of pings through the tunnel meanwhile: what the way alone takes on this machine, ms */
  readonly way: Spread | undefined;
  readonly rows: readonly StageRow[];
}

/** `npm run bench -- propagation`: from the engine's event to another server's answer, stage by stage, in the lab. */
export async function propagation(args: readonly string[]): Promise<number> {
  let code = 0;
  await new Command("propagation")
    .description("Measures how a change of a container reaches the other servers' answers, stage by stage, in the lab.")
    .option("--only <names>", `scenarios, separated by commas: ${Object.keys(SCENARIOS).join(", ")}`)
    .option("--samples <n>", "changes in each scenario", "60")
    .option("--lab <id>", "measure in a lab that --setup made, and leave it up")
    .option("--setup", "make the lab named by --lab and leave it up, without measuring")
    .option("--json", "the figures as JSON on standard output")
    .action(async (options: Options) => {
      code = await run(options);
    })
    .parseAsync([...args], { from: "user" });
  return code;
}

async function run(options: Options): Promise<number> {
  if (options.setup === true) {
    const { lab } = await bringUp(options.lab);
    keepLab(lab.id);
    return 0;
  }
  const names = (options.only ?? Object.keys(SCENARIOS).join()).split(",");
  const unknown = names.find((name) => !Object.hasOwn(SCENARIOS, name));
  if (unknown !== undefined) {
    console.error(`error: no scenario is called ${unknown}\nhint: ${Object.keys(SCENARIOS).join(", ")}`);
    return 2;
  }
  const mesh = options.lab === undefined ? await bringUp(undefined) : await openMesh(options.lab);
  try {
    const results: Result[] = [];
    for (const name of names as ScenarioName[]) {
      results.push(await measureScenario(mesh, name, Number(options.samples)));
      if (options.json !== true) console.log(render(results.at(-1) as Result));
    }
    if (options.json === true) console.log(JSON.stringify(results, null, 2));
    return results.some(({ rows }) => rows.some(({ isMet }) => isMet === false)) ? 1 : 0;
  } finally {
    if (options.lab === undefined) await mesh.lab.down();
  }
}

function bringUp(id: string | undefined): Promise<LabMesh> {
  return startMesh({
    ...(id === undefined ? {} : { id }),
    servers: [SOURCE, ...OTHERS].map((name) => ({
      name,
      release: "trixie",
      engine: name === "home" ? "podman" : "docker",
    })),
    onProgress: (line) => console.error(`  ${line}`),
  });
}

async function measureScenario(mesh: LabMesh, name: ScenarioName, samples: number): Promise<Result> {
  const { title, impairment, hasNews } = SCENARIOS[name];
  const { lab } = mesh;
  console.error(`▸ ${title}`);
  try {
    await switchNews(mesh, hasNews);
    for (const server of [SOURCE, ...OTHERS]) await lab.impair(server, impairment);
    const roundTripMs = await roundTrip(mesh);
    const conditions = { roundTripMs, lossPercent: (impairment?.lossPercent ?? 0) * 2, hasNews };
    const ping = startPing(mesh);
    const taken = await takeSamples(mesh, samples, hasNews).finally(() => ping.kill());
    const way = spreadOf((await ping.roundTripsMs).map((ms) => ms / 2));
    return {
      load: loadavg()[0] ?? 0,
      scenario: name,
      title,
      conditions,
      samples: taken.length,
      way,
      rows: stageRows(taken, conditions),
    };
  } finally {
    for (const server of [SOURCE, ...OTHERS]) await lab.impair(server, null);
    await switchNews(mesh, true);
  }
}

/** Has every agent say its changes to the others itself, or leave that to the store. */
async function switchNews({ lab }: LabMesh, isOn: boolean): Promise<void> {
  for (const server of [SOURCE, ...OTHERS]) {
    const path = PATHS.agentSettings;
    const shown = expectSuccess(await lab.exec(server, ["cat", path]), `${server}: ${path}`);
    const settings = JSON.parse(shown.stdout) as { news?: boolean };
    if ((settings.news ?? true) === isOn) continue;
    const text = JSON.stringify({ ...settings, news: isOn }, null, 2);
    const write = ["sh", "-c", 'cat > "$1"', "write", path];
    expectSuccess(await lab.exec(server, write, { input: text }), `${server}: ${path}`);
    const restart = ["systemctl", "restart", "jiji-agent"];
    expectSuccess(await lab.exec(server, restart, { timeoutMs: 60_000 }), `${server}: restart`);
  }
}

/** The smallest of some pings through the tunnel to the farthest of the others. */
async function roundTrip({ lab, dnsOf }: LabMesh): Promise<number> {
  const trips = await Promise.all(
    OTHERS.map((other) =>
      waitFor(
        async () => {
          const argv = ["ping", "-q", "-n", "-c", "10", "-i", "0.05", "-W", "1", dnsOf[other] ?? ""];
          const shown = await lab.exec(SOURCE, argv);
          return Number(/= ([0-9.]+)\//.exec(shown.stdout)?.[1]);
        },
        { timeoutMs: 30_000, what: `${other} to answer a ping` },
      ),
    ),
  );
  return Math.max(...trips);
}

/** Pings through the tunnel, five a second, until it is killed. */
function startPing({ lab, dnsOf }: LabMesh): { readonly roundTripsMs: Promise<readonly number[]>; kill(): void } {
  const leader = lab.servers.find(({ name }) => name === SOURCE)?.leaderPid() ?? 0;
  const argv = ["nsenter", "--mount", "--net", "-t", `${leader}`, "ping", "-n", "-i", "0.2", dnsOf[OTHERS[0]] ?? ""];
  const ping = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const roundTripsMs = new Response(ping.stdout)
    .text()
    .then((text) => [...text.matchAll(/ time=([0-9.]+) ms/g)].map(([, ms]) => Number(ms)));
  return { roundTripsMs, kill: () => ping.kill("SIGINT") };
}

interface Spies {
  readonly docker: DockerSpy;
  readonly own: Awaited<ReturnType<typeof spyOnNews>>;
  readonly news: readonly Spy<{ readonly atMs: number; readonly record: ContainerRecord | undefined }>[];
  readonly stores: readonly Spy<{ readonly atMs: number; readonly record: ContainerRecord | undefined }>[];
  readonly answers: readonly AnswerWatch[];
}

async function takeSamples(mesh: LabMesh, count: number, hasNews: boolean): Promise<readonly Sample[]> {
  const { lab, dnsOf } = mesh;
  const labels = ["--label", "jiji.project=bench", "--label", "jiji.service=web"];
  await lab.exec(SOURCE, ["docker", "rm", "-f", "bench"]);
  const create = ["docker", "create", "--name", "bench", "--network", "jiji", ...labels, labImage, "sleep", "infinity"];
  const id = expectSuccess(await lab.exec(SOURCE, create), "docker create").stdout.trim();
  const spies: Spies = {
    docker: await spyOnDocker(lab, SOURCE),
    own: spyOnNews(lab, SOURCE),
    news: OTHERS.map((server) => spyOnNews(lab, server)),
    stores: await Promise.all(OTHERS.map((server) => spyOnStore(lab, server))),
    answers: await Promise.all(
      OTHERS.map((server) => watchAnswers(lab, { server, dnsAddress: dnsOf[server] ?? "", names: [NAME], everyMs: 1 })),
    ),
  };
  const samples: Sample[] = [];
  try {
    // the first one warms up
    for (let n = -2; n < count; n++) {
      const sample = await takeSample(spies, id, n % 2 === 0 ? "appears" : "disappears", hasNews);
      if (n >= 0) samples.push(sample);
      // an odd pause, so that no sample falls into step with the store's timers
      await Bun.sleep(50 + (((n + 2) * 37) % 600));
    }
  } finally {
    for (const spy of [spies.docker, spies.own, ...spies.news, ...spies.stores]) spy.close();
    for (const watch of spies.answers) await watch.close();
    await lab.exec(SOURCE, ["docker", "rm", "-f", "bench"]);
  }
  return samples;
}

const PATIENCE_MS = 30_000;

async function takeSample(spies: Spies, id: string, change: Sample["change"], hasNews: boolean): Promise<Sample> {
  const sinceMs = labNowMs();
  const appears = change === "appears";
  await spies.docker.call(`/containers/${id}/${appears ? "start" : "kill?signal=KILL"}`);
  const wait = { sinceMs, timeoutMs: PATIENCE_MS };
  const action = appears ? "start" : "kill";
  const event = await spies.docker.log.when((seen) => seen.action === action, { ...wait, what: `Docker's ${action}` });
  const isIt = ({ record }: { readonly record: ContainerRecord | undefined }): boolean =>
    record?.containerId === id && (record.state === "healthy") === appears;
  const written = await spies.own.log.when(isIt, { ...wait, what: "the row to be written" });
  const writingMs = written.record?.rev ?? Number.NaN;
  const isSame = ({ record }: { readonly record: ContainerRecord | undefined }): boolean =>
    record?.containerId === id && record.rev >= writingMs;
  const latest = async (seen: readonly Promise<{ readonly atMs: number }>[]): Promise<number> =>
    Math.max(...(await Promise.all(seen)).map(({ atMs }) => atMs));
  const answeredMs = await latest(
    spies.answers.map((watch) => watch.when(NAME, ({ addresses }) => addresses.length > 0 === appears, wait)),
  );
  const storeMs = await latest(
    spies.stores.map(({ log }) => log.when(isSame, { ...wait, what: "the store to say it" })),
  );
  const toldMs = hasNews
    ? await latest(spies.news.map(({ log }) => log.when(isSame, { ...wait, timeoutMs: 2_000, what: "news" }))).catch(
        () => undefined,
      )
    : undefined;
  return { change, eventMs: event.atMs, writingMs, writtenMs: written.atMs, newsMs: toldMs, storeMs, answeredMs };
}

function render({ title, conditions, samples, rows, load, way }: Result): string {
  const number = (value: number | undefined): string => (value === undefined ? "-" : value.toFixed(1));
  const shown = [
    { stage: "half a ping's round trip meanwhile", spread: way, bar: undefined, isMet: undefined },
    ...rows,
  ];
  const lines = shown.map(({ stage, spread, bar, isMet }) => [
    stage,
    ...[spread?.p50, spread?.p99, spread?.worst, bar?.p50, bar?.p99].map((value) => number(value)),
    isMet === undefined ? "" : isMet ? "met" : "MISSED",
  ]);
  const loss = conditions.lossPercent > 0 ? `, ${conditions.lossPercent.toFixed(1)} % loss each way` : "";
  const head = `${title}: ${samples} changes, round trip ${conditions.roundTripMs.toFixed(1)} ms${loss}; load ${load.toFixed(1)}`;
  return `\n${head}\n${renderTable(["ms", "p50", "p99", "worst", "bar p50", "bar p99", ""], lines)}`;
}
