import { JijiError } from "../../model/errors.ts";
import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import { UNITS } from "../../model/units.ts";
import type { NodeGoal } from "../../plan/goal.ts";
import type { Manifest } from "../../plan/manifest.ts";
import {
  AGENT_UNITS,
  DNS_UNITS,
  planRetired,
  planUnit,
  STORE_UNITS,
  UNIT_KIND,
  type UnitObserved,
  type UnitAction,
  type UnitGroup,
  type UnitState,
} from "../../plan/kinds/unit.ts";
import type { Host } from "../../system/host.ts";
import type { ApplyContext, ResourceKind } from "../kind.ts";
import { runChecked } from "../programs.ts";
import { clearPending, markPending, observePending, observeUnit } from "../units.ts";
import type { Probes } from "../service-probes.ts";

type UnitKind = ResourceKind<UnitObserved, UnitAction>;

const GROUPS = [STORE_UNITS, AGENT_UNITS, DNS_UNITS] as const;

/** Stops services that this server no longer needs; comes before their unit files are removed. */
export const retiredUnitKind: ResourceKind<undefined, UnitAction> = {
  kind: UNIT_KIND,
  observe: async () => undefined,
  plan: (goal, _observed, manifest) => planRetired(goal, GROUPS, manifest),
  execute: (step, context) => retire(step.action.unit, context),
};

export const storeUnitKind = (probes: Probes): UnitKind => unitKind(STORE_UNITS, probes);
export const agentUnitKind = (probes: Probes): UnitKind => unitKind(AGENT_UNITS, probes);
export const dnsUnitKind = (probes: Probes): UnitKind => unitKind(DNS_UNITS, probes);

function unitKind(group: UnitGroup, probes: Probes): UnitKind {
  return {
    kind: UNIT_KIND,
    observe: (host, goal) => observe(group, host, goal),
    plan: (goal, observed, manifest: Manifest, earlier) => planUnit(group, goal, observed, manifest, earlier),
    execute: ({ action }, context) => execute(action, context, probes),
  };
}

async function observe(group: UnitGroup, host: Host, goal: NodeGoal): Promise<UnitObserved> {
  const states = new Map<string, Reading<UnitState>>();
  for (const unit of group.desired(goal)) states.set(unit, await observeUnit(host, unit));
  return { states, pending: known(await observePending(host.files), PATHS.pendingRestarts) ?? new Set() };
}

async function execute(action: UnitAction, context: ApplyContext, probes: Probes): Promise<void> {
  const { host } = context;
  const { unit } = action;
  if (action.op === "retire") return retire(unit, context);
  await context.remember(unit, null);
  if (action.op === "enable") {
    await runChecked(host, ["systemctl", "enable", unit]);
    return;
  }
  await markPending(host.files, unit);
  // both at once: while the socket is there, a question starts the service again
  if (unit === UNITS.dnsSocket) await runChecked(host, ["systemctl", "stop", UNITS.dnsSocket, UNITS.dns]);
  await host.programs.run(["systemctl", "reset-failed", unit]);
  const started = await host.programs.run(["systemctl", "restart", unit], { timeoutMs: 150_000 });
  const why = started.code === 0 ? await ask(unit, context.goal, probes) : started.stderr.trim();
  if (why !== undefined) throw await notStarted(host, unit, why);
  await clearPending(host.files, unit);
}

/** Undefined when the service answers as it should; for a unit without a probe systemd's word counts. */
async function ask(unit: string, goal: NodeGoal, probes: Probes): Promise<string | undefined> {
  if (goal.phase !== "join") return undefined;
  if (unit === UNITS.corrosion || unit === UNITS.store) return probes.store(goal.spec);
  if (unit === UNITS.agent) return probes.agent();
  return unit === UNITS.dns ? probes.dns(goal.spec) : undefined;
}

async function notStarted(host: Host, unit: string, why: string): Promise<JijiError> {
  const journal = await host.programs
    .run(["journalctl", "--unit", unit, "--lines", "8", "--no-pager", "--output", "cat"], { timeoutMs: 10_000 })
    .catch(() => undefined);
  const tail = journal?.code === 0 ? journal.stdout.trim() : "";
  return new JijiError("remote", `${unit} does not work: ${why}${tail === "" ? "" : `\n${tail}`}`, {
    hint: `journalctl -u ${unit} -n 50`,
  });
}

async function retire(unit: string, { host, forget }: ApplyContext): Promise<void> {
  const state = known(await observeUnit(host, unit), unit);
  if (state !== undefined) {
    await runChecked(host, ["systemctl", "disable", "--now", "--no-reload", unit], { timeoutMs: 150_000 });
    await host.programs.run(["systemctl", "reset-failed", unit]);
  }
  await clearPending(host.files, unit);
  await forget(unit);
}
