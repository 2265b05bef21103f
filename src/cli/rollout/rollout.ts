import { JijiError } from "../../model/errors.ts";
import type { Finding } from "../../model/finding.ts";
import type { ExitCode } from "../exit-codes.ts";
import type { ReachedServer } from "../servers/fleet.ts";
import { NodeClient } from "../servers/node-client.ts";
import { lockAll } from "./locks.ts";
import { countPlan, renderPlan } from "./plan-text.ts";
import { reportFindings } from "./report.ts";
import type { FitServer, Uploads } from "./uploads.ts";
import type { PlannedServer, ServerRun, Work } from "./work.ts";

/** What all servers are going to do together. */
export interface Plan<Run extends ServerRun> {
  /** in the order in which they are shown */
  readonly servers: readonly PlannedServer[];
  /** about the mesh as a whole */
  readonly notes: readonly string[];
  /** Executes, and says what became of each server by its name; `isIdle`: no server has a step to take. */
  apply(isIdle: boolean): Promise<ReadonlyMap<string, Run>>;
  /** Says what was done; without any run it was a dry run, or there was nothing to do. */
  report(runs: ReadonlyMap<string, Run>): ExitCode;
}

/** What one command changes. */
export interface Rollout<Run extends ServerRun> {
  /** as holders of the lock are told apart: "setup" */
  readonly command: string;
  readonly servers: readonly ReachedServer[];
  /** those of them that run this release's program, which is sent where it is missing; the others run their own */
  readonly sent: readonly FitServer[];
  /** undefined when `sent` is empty */
  readonly uploads: Uploads | undefined;
  /** Asks the servers; findings forbid to begin. */
  plan(clientOf: (name: string) => NodeClient): Promise<Plan<Run> | { readonly findings: readonly Finding[] }>;
  /** asked before anything changes; `what`: "57 steps on 3 servers" */
  question(what: string): string;
  /** said when there is nothing to do */
  readonly idle: string | undefined;
}

/**
 * What setup and teardown do alike: send what servers lack, take every lock, plan, show the plan, ask, apply, report. The
 * locks are given back and unused uploads are removed in every case. Rejects when a lock is held or the answer is no.
 */
export async function rollOut<Run extends ServerRun>(work: Work, rollout: Rollout<Run>): Promise<ExitCode> {
  const { context, output } = work;
  const { uploads, sent, command } = rollout;
  try {
    await uploads?.stageMissing(sent);
    const clients = new Map<string, NodeClient>();
    const places = rollout.servers.map((server) => {
      const { config, connection, spec } = server;
      const program = uploads?.programFor(server) ?? "installed";
      const client = new NodeClient(connection, config.name, program, context.interrupted);
      clients.set(config.name, client);
      return { name: config.name, subnet: spec?.subnet, client };
    });
    const time = new Date(context.clock.nowMs()).toISOString().slice(0, 19);
    output.detail("taking the locks");
    const locks = await lockAll(places, `${context.self}, jiji network ${command}, since ${time}Z`);
    try {
      return await planAndApply(work, rollout, clients);
    } finally {
      await locks.release();
    }
  } finally {
    await uploads?.takeBack();
  }
}

async function planAndApply<Run extends ServerRun>(
  work: Work,
  rollout: Rollout<Run>,
  clients: ReadonlyMap<string, NodeClient>,
): Promise<ExitCode> {
  const { context, output, options } = work;
  const plan = await rollout.plan((name) => {
    const client = clients.get(name);
    if (client === undefined) throw new Error(`no connection to ${name}`);
    return client;
  });
  if ("findings" in plan) return reportFindings(output, options.json, plan.findings);
  const { servers } = plan;
  const notes = servers.flatMap((server) => server.notes.map((note) => `${server.name}: ${note}`));
  for (const note of new Set([...plan.notes, ...notes])) output.progress(`note: ${note}`);
  if (!options.json && servers.length > 0) {
    output.data(renderPlan(servers, output.colors, output.verbosity === "verbose"));
  }
  if (options.dryRun) return plan.report(new Map());
  const isIdle = servers.every(({ steps }) => steps.length === 0);
  if (isIdle && rollout.idle !== undefined) output.progress(rollout.idle);
  if (!isIdle && !options.yes && !(await context.ask(rollout.question(countPlan(servers))))) {
    throw new JijiError("cancelled", "nothing was changed");
  }
  return plan.report(await plan.apply(isIdle));
}
