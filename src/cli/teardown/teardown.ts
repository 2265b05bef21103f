import { serverAddress } from "../../model/cluster.ts";
import { finding, type Finding } from "../../model/finding.ts";
import { PATHS } from "../../model/paths.ts";
import type { CliContext } from "../context.ts";
import type { ExitCode } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { findUnfitAtLogin } from "../rollout/login-fitness.ts";
import { loadReleaseFiles } from "../rollout/release-files.ts";
import { reportRollout, reportUnreached, rowOf, skippedRow, type Row } from "../rollout/report.ts";
import { rollOut, type Plan } from "../rollout/rollout.ts";
import { runOnServer } from "../rollout/server-run.ts";
import { Uploads, type FitServer } from "../rollout/uploads.ts";
import {
  refuseWithoutTerminal,
  type PlannedServer,
  type RolloutOptions,
  type ServerRun,
  type Work,
} from "../rollout/work.ts";
import { connectFleet, countServers, type Fleet, type ReachedServer } from "../servers/fleet.ts";
import { withMesh } from "../servers/mesh.ts";
import type { NodeClient } from "../servers/node-client.ts";
import { renderTable } from "../table.ts";

/** `jiji network teardown`: takes the file's servers out of the network and gives each back as it was before jiji. */
export async function networkTeardown(context: CliContext, output: Output, options: RolloutOptions): Promise<ExitCode> {
  const work: Work = { context, output, options, startedMs: context.clock.monotonicMs() };
  refuseWithoutTerminal(context, options);
  return withMesh(
    context,
    options,
    async (mesh) => {
      output.progress(`connecting to ${countServers(mesh.servers.length)} …`);
      return takeDown(work, await connectFleet(mesh, mesh.servers));
    },
    { evenIfDisabled: true },
  );
}

async function takeDown(work: Work, { reached, unreached }: Fleet): Promise<ExitCode> {
  const { context, output } = work;
  const servers = reached.filter(isInstalled).toSorted((a, b) => numberOf(a) - numberOf(b));
  // A server is taken down by the release that set it up. One whose setup ended before its program was there gets it now.
  const bare = servers.filter(({ connection }) => !connection.probe.installed.has(PATHS.executable));
  const files = bare.length === 0 ? undefined : loadReleaseFiles(context.releaseFolder);
  const refused = reportUnreached(
    work,
    unreached,
    reached.flatMap((server) => (files && bare.includes(server) ? findUnfitAtLogin(server, files) : noRoot(server))),
  );
  if (refused !== undefined) return refused;
  const clean = reached.filter((server) => !isInstalled(server)).map(({ config }) => config.name);
  for (const name of clean) output.progress(`note: nothing of jiji is on ${name}`);
  const rest = [
    ...clean.map((name): Row => ({ name, outcome: "clean", steps: [], seconds: 0, notes: [] })),
    ...unreached.map(skippedRow),
  ];
  return rollOut<ServerRun>(work, {
    command: "teardown",
    servers,
    sent: bare as readonly FitServer[],
    uploads: files && new Uploads(files, undefined, output, context.interrupted),
    question: (what) => `Take the network down with ${what}? Containers keep running without it.`,
    idle: undefined,
    plan: (clientOf) => planTeardown(work, servers, rest, clientOf),
  });
}

async function planTeardown(
  work: Work,
  servers: readonly ReachedServer[],
  rest: readonly Row[],
  clientOf: (name: string) => NodeClient,
): Promise<Plan<ServerRun>> {
  const request = { goal: { phase: "teardown" }, restartEngine: work.options.restartEngine } as const;
  const planned = await Promise.all(
    servers.map(async ({ config: { name }, spec }): Promise<PlannedServer> => {
      const client = clientOf(name);
      const address = spec === undefined ? "-" : serverAddress(spec.cluster.cidr, spec.subnet);
      return { name, client, address, role: "leaves the network", ...(await client.plan(request)) };
    }),
  );
  return {
    servers: planned,
    notes: [],
    apply: async (isIdle) => {
      if (isIdle) return new Map();
      const runs = planned.map(async (server): Promise<[string, ServerRun]> => {
        const { run } = await runOnServer(work, server, "taken down", (onEvent) =>
          server.client.apply(request, onEvent),
        );
        return [server.name, run];
      });
      return new Map(await Promise.all(runs));
    },
    report: (runs) => {
      const rows = [...planned.map((server) => rowOf(work, server, runs.get(server.name), "clean")), ...rest];
      const cells = rows.map(({ name, outcome, steps }) => [name, outcome, `${steps.length}`]);
      return reportRollout(work, {
        rows,
        json: {},
        table: () => renderTable(["SERVER", "RESULT", "STEPS"], cells),
        runs,
        findings: [],
        ends: {
          ok: "the network is down; every server is as it was before",
          partly: "some servers are not taken down",
          failed: "teardown failed",
        },
      });
    },
  };
}

function numberOf({ spec }: ReachedServer): number {
  return spec?.subnet ?? 1000;
}

function isInstalled({ connection }: ReachedServer): boolean {
  const { installed } = connection.probe;
  return installed.has(PATHS.executable) || installed.has(PATHS.manifest);
}

function noRoot({ config, connection }: ReachedServer): Finding[] {
  const { privilege, sudoSaid } = connection.probe;
  return privilege === "none" ? [finding("no-root", { server: config.name, evidence: sudoSaid })] : [];
}
