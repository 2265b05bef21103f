import { JijiError } from "../../model/errors.ts";
import { finding, formatFinding } from "../../model/finding.ts";
import { serverAddress } from "../../model/cluster.ts";
import { PATHS } from "../../model/paths.ts";
import type { ApplyEvent, ShownStep } from "../../model/node/apply.ts";
import type { CliContext } from "../context.ts";
import { formatDuration } from "../duration.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { connectFleet, loginFindings, type ReachedServer, type UnreachedServer } from "../servers/fleet.ts";
import { selectServers } from "../servers/host-pattern.ts";
import { loadConfig, type ConfigChoice } from "../load-config.ts";
import { lockAll } from "../rollout/locks.ts";
import { countServers, nobodyToAsk } from "../setup/setup.ts";
import { NodeClient } from "../servers/node-client.ts";
import { asJijiError, type Output } from "../output.ts";
import { loadReleaseFiles } from "../rollout/release-files.ts";
import { StepProgress } from "../setup/rounds.ts";
import { findUnfitAtLogin } from "../rollout/login-fitness.ts";
import { countPlan, renderPlan, type ServerPlan } from "../rollout/plan-text.ts";
import { reportFindings } from "../setup/report.ts";
import { Uploads, type FitServer } from "../rollout/uploads.ts";
import { renderTable } from "../table.ts";

export interface TeardownOptions extends ConfigChoice {
  readonly hosts: readonly string[];
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  readonly restartEngine: boolean;
}

interface Planned {
  readonly server: ReachedServer;
  readonly client: NodeClient;
  readonly steps: readonly ShownStep[];
  readonly notes: readonly string[];
}

interface Outcome {
  readonly name: string;
  readonly outcome: "planned" | "clean" | "done" | "failed" | "skipped";
  readonly steps: readonly ShownStep[];
  readonly seconds: number;
  readonly notes: readonly string[];
  readonly error?: { readonly message: string; readonly hint?: string | undefined };
}

/** `jiji network teardown`: takes the file's servers out of the network and gives each back as it was before jiji. */
export async function networkTeardown(
  context: CliContext,
  output: Output,
  options: TeardownOptions,
): Promise<ExitCode> {
  const startedMs = context.clock.monotonicMs();
  const loaded = loadConfig(context, options);
  if (!options.dryRun && !options.yes && !context.canAsk) throw nobodyToAsk("--dry-run shows the plan");
  const servers = selectServers(loaded.config.servers, options.hosts);
  output.progress(`connecting to ${countServers(servers.length)} …`);
  const fleet = await connectFleet({
    context,
    loaded,
    servers,
    trustConfig: options.trustConfig,
    withEndpoints: false,
  });
  try {
    const installed = fleet.reached.filter(isInstalled);
    const refused = fleet.unreached.filter(({ isAway }) => !isAway);
    const findings = [
      ...loginFindings(refused),
      ...fleet.reached
        .filter(({ connection }) => connection.probe.privilege === "none")
        .map(({ config }) => finding("no-root", { server: config.name })),
    ];
    if (findings.length > 0) return reportFindings(output, options.json, findings);
    const away = fleet.unreached.filter(({ isAway }) => isAway);
    for (const { error } of away) output.warn(`${error.server}: ${error.message}; it is skipped`, error.hint);
    const clean = fleet.reached.filter((server) => !isInstalled(server));
    for (const { config } of clean) output.progress(`note: nothing of jiji is on ${config.name}`);
    const outcomes = await withPrograms({ context, output, options }, installed, (clients) =>
      tearDown({ context, output, options }, installed, clients),
    );
    const all = [...outcomes, ...clean.map(cleanOutcome), ...away.map(skippedOutcome)];
    return report(output, options, all, context.clock.monotonicMs() - startedMs);
  } finally {
    await fleet.ssh.close();
  }
}

interface Work {
  readonly context: CliContext;
  readonly output: Output;
  readonly options: TeardownOptions;
}

function isInstalled({ connection }: ReachedServer): boolean {
  const { installed } = connection.probe;
  return installed.has(PATHS.executable) || installed.has(PATHS.manifest);
}

/**
 * A server is taken down by the release that set it up. One whose setup broke off before the program was in its place gets
 * it sent once more.
 */
async function withPrograms<T>(
  { context, output }: Work,
  installed: readonly ReachedServer[],
  work: (clients: ReadonlyMap<ReachedServer, NodeClient>) => Promise<T>,
): Promise<T> {
  const bare = installed.filter(({ connection }) => !connection.probe.installed.has(PATHS.executable));
  if (bare.length === 0) {
    const clients = installed.map((server) => [server, clientOf(server, "installed", context)] as const);
    return work(new Map(clients));
  }
  const files = loadReleaseFiles(context.releaseFolder);
  const uploads = new Uploads(files, undefined, output, context.interrupted);
  try {
    const unfit = bare.flatMap((server) => findUnfitAtLogin(server, files));
    const [first] = unfit;
    if (first !== undefined) {
      const details = { server: first.server ?? undefined, hint: first.cure };
      throw new JijiError("conflict", formatFinding(first), details);
    }
    await uploads.stageMissing(bare as readonly FitServer[]);
    const clients = installed.map((server) => {
      const { arch } = server;
      const executable = bare.includes(server) && arch !== undefined ? files.byArch[arch].sha256 : "installed";
      return [server, clientOf(server, executable, context)] as const;
    });
    return await work(new Map(clients));
  } finally {
    await uploads.takeBack();
  }
}

function clientOf(
  server: ReachedServer,
  executable: ConstructorParameters<typeof NodeClient>[2],
  context: CliContext,
): NodeClient {
  return new NodeClient(server.connection, server.config.name, executable, context.interrupted);
}

async function tearDown(
  work: Work,
  servers: readonly ReachedServer[],
  clients: ReadonlyMap<ReachedServer, NodeClient>,
): Promise<readonly Outcome[]> {
  const { context, output, options } = work;
  const pairs = servers.flatMap((server) => {
    const client = clients.get(server);
    return client === undefined ? [] : [{ server, client }];
  });
  pairs.sort((a, b) => (a.server.spec?.subnet ?? 1000) - (b.server.spec?.subnet ?? 1000));
  const time = new Date(context.clock.nowMs()).toISOString().slice(0, 19);
  const locks = await lockAll(
    pairs.map(({ server, client }) => ({ name: server.config.name, subnet: server.spec?.subnet, client })),
    `${context.self}, jiji network teardown, since ${time}Z`,
  );
  try {
    const planned = await Promise.all(
      pairs.map(async (pair) => ({ ...pair, ...(await planOne(pair.client, options)) })),
    );
    const plans = planned.map(planOf);
    if (!options.json && plans.length > 0) {
      output.data(renderPlan(plans, output.colors, output.verbosity === "verbose"));
    }
    for (const note of planned.flatMap(({ server, notes }) => notes.map((line) => `${server.config.name}: ${line}`))) {
      output.progress(`note: ${note}`);
    }
    if (options.dryRun) return planned.map((one) => outcomeOf(one, "planned", 0));
    if (plans.every(({ steps }) => steps.length === 0)) return planned.map((one) => outcomeOf(one, "clean", 0));
    const question = `Take the network down with ${countPlan(plans)}? Containers keep running without it.`;
    if (!options.yes && !(await context.ask(question))) throw new JijiError("cancelled", "nothing was changed");
    return await Promise.all(planned.map((one) => applyOne(work, one)));
  } finally {
    await locks.release();
  }
}

async function planOne(
  client: NodeClient,
  { restartEngine }: TeardownOptions,
): Promise<Pick<Planned, "steps" | "notes">> {
  return client.plan({ goal: { phase: "teardown" }, restartEngine });
}

function planOf({ server, steps }: Planned): ServerPlan {
  const { spec } = server;
  const address = spec === undefined ? "-" : serverAddress(spec.cluster.cidr, spec.subnet);
  return { name: server.config.name, address, role: "leaves the network", steps };
}

async function applyOne({ context, output, options }: Work, planned: Planned): Promise<Outcome> {
  const { server, client } = planned;
  const { name } = server.config;
  const startedMs = context.clock.monotonicMs();
  const took = (): number => context.clock.monotonicMs() - startedMs;
  const steps = new StepProgress(output, name);
  try {
    const request = { goal: { phase: "teardown" }, restartEngine: options.restartEngine } as const;
    const done = await client.apply(request, (event: ApplyEvent) => steps.see(event));
    output.server(name, `taken down in ${formatDuration(took())}`);
    return { ...outcomeOf(planned, "done", took()), notes: done.notes };
  } catch (error) {
    context.interrupted.throwIfAborted();
    const failure = asJijiError(error, name);
    output.failure(failure);
    return { ...outcomeOf(planned, "failed", took()), error: { message: failure.message, hint: failure.hint } };
  } finally {
    steps.close();
  }
}

function outcomeOf({ server, steps, notes }: Planned, outcome: Outcome["outcome"], tookMs: number): Outcome {
  return { name: server.config.name, outcome, steps, notes, seconds: Math.round(tookMs / 100) / 10 };
}

function cleanOutcome({ config }: ReachedServer): Outcome {
  return { name: config.name, outcome: "clean", steps: [], notes: [], seconds: 0 };
}

function skippedOutcome({ config, error }: UnreachedServer): Outcome {
  const shown = { message: error.message, hint: error.hint };
  return { name: config.name, outcome: "skipped", steps: [], notes: [], seconds: 0, error: shown };
}

function report(output: Output, options: TeardownOptions, outcomes: readonly Outcome[], tookMs: number): ExitCode {
  const isWell = ({ outcome }: Outcome): boolean => outcome !== "failed" && outcome !== "skipped";
  const code = outcomes.every(isWell) ? EXIT.ok : outcomes.some(isWell) ? EXIT.partly : EXIT.failed;
  const seconds = Math.round(tookMs / 100) / 10;
  if (options.json) {
    output.json(code, { dryRun: options.dryRun, seconds, servers: outcomes });
  } else if (!options.dryRun) {
    const rows = outcomes.map(({ name, outcome, steps }) => [name, outcome, `${steps.length}`]);
    output.data(`\n${renderTable(["SERVER", "RESULT", "STEPS"], rows)}`);
  }
  if (!options.dryRun) {
    for (const { name, notes } of outcomes) for (const note of notes) output.progress(`note: ${name}: ${note}`);
  }
  const end = options.dryRun ? "dry run: nothing was changed" : endOf(code);
  output.progress(`${end} (${formatDuration(tookMs)})`);
  return code;
}

function endOf(code: ExitCode): string {
  if (code === EXIT.ok) return "the network is down; every server is as it was before";
  return code === EXIT.partly ? "some servers are not taken down" : "teardown failed";
}
