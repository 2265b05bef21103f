import type { Arch } from "../../model/architecture.ts";
import { computeDesiredState } from "../../desired/desired-state.ts";
import type { ReleaseChoice, ReleaseFile } from "../../desired/release-choice.ts";
import { JijiError } from "../../model/errors.ts";
import type { Finding } from "../../model/finding.ts";
import { PATHS } from "../../model/paths.ts";
import type { CliContext } from "../context.ts";
import { chooseCorrosion, type CorrosionChoice } from "../corrosion/choice.ts";
import type { ExitCode } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { findUnfitAtLogin } from "../rollout/login-fitness.ts";
import { loadReleaseFiles, type ReleaseFiles } from "../rollout/release-files.ts";
import { reportUnreached } from "../rollout/report.ts";
import { rollOut, type Plan } from "../rollout/rollout.ts";
import { Uploads, type FitServer } from "../rollout/uploads.ts";
import { refuseWithoutTerminal, type RolloutOptions, type Work } from "../rollout/work.ts";
import { connectFleet, countServers, type Fleet, type ReachedServer, type UnreachedServer } from "../servers/fleet.ts";
import { withMesh, type Mesh } from "../servers/mesh.ts";
import type { NodeClient } from "../servers/node-client.ts";
import { planServers, type SetupServer } from "./planning.ts";
import { reportSetup, type SetupRun } from "./report.ts";
import { applyRounds, type RoundsRun } from "./rounds.ts";
import { verifyServers } from "./verify.ts";

export interface SetupOptions extends RolloutOptions {
  readonly corrosionBinary: readonly string[];
}

/** `jiji network setup`: makes every server of the file a member, or shows what that would take. */
export async function networkSetup(context: CliContext, output: Output, options: SetupOptions): Promise<ExitCode> {
  const work: Work = { context, output, options, startedMs: context.clock.monotonicMs() };
  refuseWithoutTerminal(context, options);
  return withMesh(context, options, async (mesh) => {
    const files = loadReleaseFiles(context.releaseFolder);
    const { servers } = mesh.loaded.config;
    output.progress(`connecting to ${countServers(servers.length)} …`);
    const fleet = await connectFleet(mesh, servers, { withEndpoints: true });
    return setUp({ ...work, options, mesh, files, fleet });
  });
}

interface Setup extends Work {
  readonly options: SetupOptions;
  readonly mesh: Mesh;
  readonly files: ReleaseFiles;
  readonly fleet: Fleet;
}

async function setUp(setup: Setup): Promise<ExitCode> {
  const { context, output, mesh, files, fleet } = setup;
  const isSelected = ({ config }: Pick<ReachedServer, "config">): boolean => mesh.servers.includes(config);
  const chosen = fleet.reached.filter(isSelected);
  const skipped = fleet.unreached.filter(isSelected);
  const refused = reportUnreached(
    setup,
    skipped,
    chosen.flatMap((server) => findUnfitAtLogin(server, files)),
  );
  if (refused !== undefined) return refused;
  if (chosen.length === 0) {
    throw new JijiError("connection", "none of the servers can be reached", { hint: "nothing was changed" });
  }
  output.detail("all are connected");
  const fit = chosen.filter(hasArch);
  const told = fleet.reached.filter((server) => !isSelected(server) && server.spec !== undefined);
  const servers = [...fit, ...told];
  const corrosion = await corrosionFor(setup, fit);
  const uploads = new Uploads(files, corrosion, output, context.interrupted);
  return rollOut<SetupRun>(setup, {
    command: "setup",
    servers,
    sent: fit,
    uploads,
    question: (what) => `Go ahead with ${what}?`,
    idle: "every server is as the file says",
    plan: (clientOf) => planSetup(setup, { servers, fit, skipped, uploads, corrosion }, clientOf),
  });
}

interface Parts {
  readonly servers: readonly ReachedServer[];
  readonly fit: readonly FitServer[];
  readonly skipped: readonly UnreachedServer[];
  readonly uploads: Uploads;
  readonly corrosion: CorrosionChoice | undefined;
}

async function planSetup(
  setup: Setup,
  { servers, fit, skipped, uploads, corrosion }: Parts,
  clientOf: (name: string) => NodeClient,
): Promise<Plan<SetupRun> | { readonly findings: readonly Finding[] }> {
  const { output, options, files, mesh } = setup;
  const { config } = mesh.loaded;
  const { clusterCidr } = config.network;
  output.detail("looking at the servers");
  const observed = await Promise.all(
    servers.map(async ({ config: server, endpoints }) => {
      const facts = await clientOf(server.name).ask("observe", { engine: server.engine ?? null });
      return { config: server, facts, endpoints, selected: mesh.servers.includes(server) };
    }),
  );
  const desired = computeDesiredState(config, observed, releaseChoice(files, corrosion));
  if (!desired.ok) return desired;
  const { state } = desired;
  output.detail("asking every server for its plan");
  const planned = await planServers(state, clientOf, options.restartEngine);
  for (const server of fit) {
    const steps = planned.find(({ name }) => name === server.config.name)?.steps ?? [];
    const paths = new Set(steps.map(({ target }) => target).filter((target) => EXECUTABLES.has(target)));
    if (paths.size > 0) await uploads.stageAgain(server, paths);
  }
  return {
    servers: planned,
    notes: state.notes,
    apply: async (isIdle) => {
      const runs = isIdle ? new Map<string, RoundsRun>() : await applyRounds(setup, planned, state.mesh);
      return verify(setup, planned, runs);
    },
    report: (runs) => reportSetup(setup, { clusterCidr, servers: planned, runs, skipped, notes: state.notes }),
  };
}

const EXECUTABLES: ReadonlySet<string> = new Set([PATHS.executable, PATHS.corrosionExecutable]);

async function verify(
  { context, output }: Setup,
  planned: readonly SetupServer[],
  runs: ReadonlyMap<string, RoundsRun>,
): Promise<ReadonlyMap<string, SetupRun>> {
  const done = planned.filter(({ name, selected }) => selected && runs.get(name)?.error === undefined);
  const members = done.flatMap(({ name, spec, member }) => {
    const id = runs.get(name)?.id ?? member;
    return id === undefined ? [] : [{ name, nat: spec.nat, id }];
  });
  output.progress("verifying: tunnels, full-size packets, DNS …");
  const verdicts = await verifyServers(
    done.map(({ name, client, spec }) => ({
      name,
      client,
      peers: members.filter((peer) => peer.name !== name && !(peer.nat && spec.nat)),
    })),
    context.clock,
    context.interrupted,
  );
  return new Map(
    planned.map(({ name, member }) => {
      const run = runs.get(name) ?? { error: undefined, id: member, notes: [], tookMs: 0 };
      return [name, { ...run, verdict: verdicts.get(name) }];
    }),
  );
}

/** The Corrosion to send; undefined when the mesh uses the embedded store. */
async function corrosionFor(
  { context, options, mesh, output }: Setup,
  fit: readonly FitServer[],
): Promise<CorrosionChoice | undefined> {
  if (mesh.loaded.config.network.store.kind !== "corrosion") {
    if (options.corrosionBinary.length === 0) return undefined;
    throw new JijiError("usage", "--corrosion-binary has no use with network.store: { embedded: … }");
  }
  return chooseCorrosion({
    context,
    given: options.corrosionBinary,
    architectures: new Set(fit.map(({ arch }) => arch)),
    specs: fit.flatMap(({ arch, spec }) => (spec === undefined ? [] : [{ arch, spec }])),
    configPath: mesh.loaded.path,
    say: (line) => output.progress(line),
  });
}

function hasArch(server: ReachedServer): server is FitServer {
  return server.arch !== undefined;
}

function releaseChoice(files: ReleaseFiles, corrosion: CorrosionChoice | undefined): ReleaseChoice {
  const byArch: Partial<Record<Arch, ReleaseFile>> = corrosion?.byArch ?? {};
  return {
    jiji: { version: files.version, byArch: files.byArch },
    corrosion: corrosion === undefined ? undefined : { version: corrosion.version, byArch },
  };
}
