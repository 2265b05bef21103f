import { dirname } from "node:path";
import type { Arch } from "../../model/architecture.ts";
import { computeDesiredState, type DesiredState } from "../../desired/desired-state.ts";
import type { ObservedServer } from "../../desired/observed-server.ts";
import type { ReleaseChoice, ReleaseFile } from "../../desired/release-choice.ts";
import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import type { CliContext } from "../context.ts";
import { chooseCorrosion, type CorrosionChoice } from "../corrosion/choice.ts";
import { formatDuration } from "../duration.ts";
import type { ExitCode } from "../exit-codes.ts";
import { connectFleet, loginFindings, type Fleet, type ReachedServer } from "../servers/fleet.ts";
import { selectServers } from "../servers/host-pattern.ts";
import { loadConfig, type ConfigChoice, type LoadedConfig } from "../load-config.ts";
import { lockAll } from "../rollout/locks.ts";
import { NodeClient } from "../servers/node-client.ts";
import type { Output } from "../output.ts";
import { loadReleaseFiles, type ReleaseFiles } from "../rollout/release-files.ts";
import { applyRounds, type ServerRun } from "./rounds.ts";
import { findUnfitAtLogin } from "../rollout/login-fitness.ts";
import { countPlan, renderPlan } from "../rollout/plan-text.ts";
import { reportFindings, reportSetup, type SetupReport } from "./report.ts";
import { Uploads, type FitServer } from "../rollout/uploads.ts";
import { planServers, type PlannedServer } from "./planning.ts";
import { verifyServers, type Verdict } from "./verify.ts";

export interface SetupOptions extends ConfigChoice {
  readonly hosts: readonly string[];
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  readonly restartEngine: boolean;
  readonly corrosionBinary: readonly string[];
}

/** `jiji network setup`: makes every server of the file a member, or shows what that would take. */
export async function networkSetup(context: CliContext, output: Output, options: SetupOptions): Promise<ExitCode> {
  const startedMs = context.clock.monotonicMs();
  const loaded = loadConfig(context, options);
  refuseDisabled(loaded);
  if (!options.dryRun && !options.yes && !context.canAsk) throw nobodyToAsk("--dry-run shows the plan");
  const selected = new Set(selectServers(loaded.config.servers, options.hosts).map(({ name }) => name));
  const files = loadReleaseFiles(context.releaseFolder);
  output.progress(`connecting to ${countServers(loaded.config.servers.length)} …`);
  const fleet = await connectFleet({
    context,
    loaded,
    servers: loaded.config.servers,
    trustConfig: options.trustConfig,
    withEndpoints: true,
  });
  try {
    return await new Setup({ context, output, options, loaded, files, fleet, selected, startedMs }).run();
  } finally {
    await fleet.ssh.close();
  }
}

/** "1 server", "3 servers". */
export function countServers(count: number): string {
  return count === 1 ? "1 server" : `${count} servers`;
}

/** `network.enabled: false` makes every command but teardown stop here. */
export function refuseDisabled(loaded: LoadedConfig): void {
  if (loaded.config.network.enabled) return;
  throw new JijiError("conflict", `the network is switched off: network.enabled is false in ${loaded.shownPath}`, {
    hint: "set it to true, or take the network down with jiji network teardown",
  });
}

/** Without a terminal nobody can say yes. */
export function nobodyToAsk(alternative: string): JijiError {
  return new JijiError("usage", "there is no terminal to ask for confirmation", {
    hint: `give --yes to go ahead; ${alternative}`,
  });
}

interface SetupInput {
  readonly context: CliContext;
  readonly output: Output;
  readonly options: SetupOptions;
  readonly loaded: LoadedConfig;
  readonly files: ReleaseFiles;
  readonly fleet: Fleet;
  readonly selected: ReadonlySet<string>;
  readonly startedMs: number;
}

class Setup {
  readonly #input: SetupInput;

  constructor(input: SetupInput) {
    this.#input = input;
  }

  async run(): Promise<ExitCode> {
    const { context, output, options, fleet, selected, files } = this.#input;
    const chosen = fleet.reached.filter(({ config }) => selected.has(config.name));
    const away = fleet.unreached.filter(({ config, isAway }) => isAway && selected.has(config.name));
    const refused = fleet.unreached.filter(({ config }) => selected.has(config.name));
    const findings = [...loginFindings(refused), ...chosen.flatMap((server) => findUnfitAtLogin(server, files))];
    if (findings.length > 0) return reportFindings(output, options.json, findings);
    for (const { error } of away) output.warn(`${error.server}: ${error.message}; it is skipped`, error.hint);
    if (chosen.length === 0) {
      throw new JijiError("connection", "none of the servers can be reached", { hint: "nothing was changed" });
    }
    output.detail("all are connected");
    const fit = chosen.filter(hasArch);
    const told = fleet.reached.filter(({ config, spec }) => !selected.has(config.name) && spec !== undefined);
    const corrosion = await this.#chooseCorrosion(fit);
    const uploads = new Uploads(files, corrosion, output, context.interrupted);
    try {
      await uploads.stageMissing(fit);
      return await this.#underLock({ fit, told, uploads, corrosion });
    } finally {
      await uploads.takeBack();
    }
  }

  async #chooseCorrosion(fit: readonly FitServer[]): Promise<CorrosionChoice | undefined> {
    const { context, options, loaded, output } = this.#input;
    if (loaded.config.network.store.kind !== "corrosion") {
      if (options.corrosionBinary.length > 0) {
        throw new JijiError("usage", "--corrosion-binary has no use with network.store: { embedded: … }");
      }
      return undefined;
    }
    return chooseCorrosion({
      context,
      given: options.corrosionBinary,
      architectures: new Set(fit.map(({ arch }) => arch)),
      specs: fit.flatMap(({ arch, spec }) => (spec === undefined ? [] : [{ arch, spec }])),
      configPath: loaded.path,
      say: (line) => output.progress(line),
    });
  }

  async #underLock(work: {
    readonly fit: readonly FitServer[];
    readonly told: readonly ReachedServer[];
    readonly uploads: Uploads;
    readonly corrosion: CorrosionChoice | undefined;
  }): Promise<ExitCode> {
    const { context, files, output } = this.#input;
    const signal = context.interrupted;
    const servers = [...work.fit, ...work.told].map((server) => {
      const isSelected = this.#input.selected.has(server.config.name) && server.arch !== undefined;
      const executable = isSelected && server.arch !== undefined ? files.byArch[server.arch].sha256 : "installed";
      return { server, client: new NodeClient(server.connection, server.config.name, executable, signal) };
    });
    const places = servers.map(({ server, client }) => ({
      name: server.config.name,
      subnet: server.spec?.subnet,
      client,
    }));
    const time = new Date(context.clock.nowMs()).toISOString().slice(0, 19);
    const holder = `${context.self}, jiji network setup, since ${time}Z`;
    output.detail("taking the locks");
    const locks = await lockAll(places, holder);
    try {
      const clients = new Map(servers.map(({ server, client }) => [server.config.name, client]));
      return await this.#planAndApply(work, clients);
    } finally {
      await locks.release();
    }
  }

  async #planAndApply(
    work: {
      readonly fit: readonly FitServer[];
      readonly told: readonly ReachedServer[];
      readonly uploads: Uploads;
      readonly corrosion: CorrosionChoice | undefined;
    },
    clients: ReadonlyMap<string, NodeClient>,
  ): Promise<ExitCode> {
    const { context, output, options, loaded, files } = this.#input;
    const observed = await this.#observe([...work.fit, ...work.told], clients);
    const desired = computeDesiredState(loaded.config, observed, releaseChoice(files, work.corrosion));
    if (!desired.ok) return reportFindings(output, options.json, desired.findings);
    const { state } = desired;
    output.detail("asking every server for its plan");
    const planned = await this.#plan(state, clients, work);
    const plans = planned.map(({ plan }) => plan);
    for (const note of new Set([...state.notes, ...planned.flatMap(({ notes }) => notes)]))
      output.progress(`note: ${note}`);
    if (!options.json) output.data(renderPlan(plans, output.colors, output.verbosity === "verbose"));
    const isIdle = plans.every(({ steps }) => steps.length === 0);
    if (options.dryRun) return this.#report(state, planned, new Map(), new Map(), true);
    if (isIdle) {
      output.progress("every server is as the file says");
    } else {
      const question = `Go ahead with ${countPlan(plans)}?`;
      if (!options.yes && !(await context.ask(question))) {
        throw new JijiError("cancelled", "nothing was changed");
      }
    }
    const runs = isIdle
      ? new Map<string, ServerRun>()
      : await applyRounds({ context, output, planned, mesh: state.mesh, restartEngine: options.restartEngine });
    const verdicts = await this.#verify(planned, runs);
    return this.#report(state, planned, runs, verdicts, false);
  }

  async #observe(
    servers: readonly ReachedServer[],
    clients: ReadonlyMap<string, NodeClient>,
  ): Promise<readonly ObservedServer[]> {
    const { output, selected } = this.#input;
    output.detail("looking at the servers");
    return Promise.all(
      servers.map(async ({ config, endpoints }): Promise<ObservedServer> => {
        const facts = await clientOf(clients, config.name).ask("observe", { engine: config.engine ?? null });
        return { config, facts, endpoints, selected: selected.has(config.name) };
      }),
    );
  }

  async #plan(
    state: DesiredState,
    clients: ReadonlyMap<string, NodeClient>,
    work: { readonly fit: readonly FitServer[]; readonly uploads: Uploads },
  ): Promise<PlannedServer[]> {
    const { options } = this.#input;
    const planned = await planServers(state, clients, options.restartEngine);
    const executables: ReadonlySet<string> = new Set([PATHS.executable, PATHS.corrosionExecutable]);
    for (const server of work.fit) {
      const steps = planned.find(({ name }) => name === server.config.name)?.plan.steps ?? [];
      const paths = new Set(steps.map(({ target }) => target).filter((target) => executables.has(target)));
      if (paths.size > 0) await work.uploads.stageAgain(server, paths);
    }
    return planned;
  }

  async #verify(
    planned: readonly PlannedServer[],
    runs: ReadonlyMap<string, ServerRun>,
  ): Promise<ReadonlyMap<string, Verdict>> {
    const { context, output } = this.#input;
    const done = planned.filter(({ name, selected }) => selected && runs.get(name)?.error === undefined);
    const members = done.flatMap(({ name, nat, member }) => {
      const id = runs.get(name)?.id ?? member;
      return id === undefined ? [] : [{ name, nat, id }];
    });
    output.progress("verifying: tunnels, full-size packets, DNS …");
    return verifyServers(
      done.map(({ name, client, nat }) => ({
        name,
        client,
        peers: members.filter((peer) => peer.name !== name && !(peer.nat && nat)),
      })),
      context.clock,
      context.interrupted,
    );
  }

  #report(
    state: DesiredState,
    planned: readonly PlannedServer[],
    runs: ReadonlyMap<string, ServerRun>,
    verdicts: ReadonlyMap<string, Verdict>,
    dryRun: boolean,
  ): ExitCode {
    const { context, output, options, fleet, selected, loaded } = this.#input;
    const report: SetupReport = {
      clusterCidr: loaded.config.network.clusterCidr,
      dryRun,
      planned,
      runs,
      verdicts,
      skipped: fleet.unreached.filter(({ config, isAway }) => isAway && selected.has(config.name)),
      notes: state.notes,
      tookMs: context.clock.monotonicMs() - this.#input.startedMs,
    };
    const code = reportSetup(output, options.json, report);
    output.detail(`${dirname(loaded.path)}: exit ${code} after ${formatDuration(report.tookMs)}`);
    return code;
  }
}

function hasArch(server: ReachedServer): server is FitServer {
  return server.arch !== undefined;
}

function clientOf(clients: ReadonlyMap<string, NodeClient>, name: string): NodeClient {
  const client = clients.get(name);
  if (client === undefined) throw new Error(`no connection to ${name}`);
  return client;
}

function releaseChoice(files: ReleaseFiles, corrosion: CorrosionChoice | undefined): ReleaseChoice {
  const byArch: Partial<Record<Arch, ReleaseFile>> = corrosion?.byArch ?? {};
  return {
    jiji: { version: files.version, byArch: files.byArch },
    corrosion: corrosion === undefined ? undefined : { version: corrosion.version, byArch },
  };
}
