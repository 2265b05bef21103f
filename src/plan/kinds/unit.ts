import { z } from "zod";
import { known, type Reading } from "../../model/reading.ts";
import { UNITS } from "../../model/units.ts";
import type { NodeGoal } from "../goal.ts";
import { manifestEntry, type Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const UNIT_KIND = "unit";

/** What systemd says of a unit. Of Podman's socket the manifest keeps it. */
export const unitStateSchema = z.object({
  /** whether UnitFileState is enabled, and not disabled, static, generated, … */
  enabled: z.boolean(),
  /** whether ActiveState is active or activating */
  active: z.boolean(),
});

export type UnitState = Readonly<z.infer<typeof unitStateSchema>>;

export interface UnitObserved {
  readonly states: ReadonlyMap<string, Reading<UnitState>>;
  /** units that are due for a restart since before */
  readonly pending: ReadonlySet<string>;
}

export interface UnitAction {
  readonly op: "enable" | "restart" | "retire";
  readonly unit: string;
}

const step = stepsOf<UnitAction>(UNIT_KIND);

/** Units of one place in the order of setup, in the order in which they are started. */
export interface UnitGroup {
  /** all that the place may ever have */
  readonly all: readonly string[];
  /** those of this goal */
  desired(goal: NodeGoal): readonly string[];
}

export const STORE_UNITS: UnitGroup = {
  all: [UNITS.corrosion, UNITS.store],
  desired: (goal) => {
    if (goal.phase !== "join") return [];
    const { store, subnet } = goal.spec;
    if (store.kind === "corrosion") return [UNITS.corrosion];
    return store.holder === subnet ? [UNITS.store] : [];
  },
};

export const AGENT_UNITS: UnitGroup = {
  all: [UNITS.agent],
  desired: (goal) => (goal.phase === "join" ? [UNITS.agent] : []),
};

export const DNS_UNITS: UnitGroup = {
  all: [UNITS.dnsSocket, UNITS.dns],
  desired: (goal) => (goal.phase === "join" ? [UNITS.dnsSocket, UNITS.dns] : []),
};

/** Units that an earlier setup started and this one has no use for; they stop before their files go. */
export function planRetired(
  goal: NodeGoal,
  groups: readonly UnitGroup[],
  manifest: Manifest,
): readonly Step<UnitAction>[] {
  if (goal.phase !== "join") return [];
  const wanted = new Set(groups.flatMap((group) => group.desired(goal)));
  return groups
    .flatMap(({ all }) => all)
    .filter((unit) => !wanted.has(unit) && manifestEntry(manifest, UNIT_KIND, unit) !== undefined)
    .map(retire);
}

/**
 * Enabled and running, and restarted exactly when something that it reads has changed since it started. At teardown
 * stopped and disabled.
 */
export function planUnit(
  group: UnitGroup,
  goal: NodeGoal,
  observed: UnitObserved,
  manifest: Manifest,
  earlier: readonly Step[],
): readonly Step<UnitAction>[] {
  if (goal.phase === "teardown") {
    // a socket before its service, which a question would otherwise start again
    return group.all.filter((unit) => manifestEntry(manifest, UNIT_KIND, unit) !== undefined).map(retire);
  }
  const due = new Set([...observed.pending, ...earlier.flatMap(({ restarts }) => restarts ?? [])]);
  // the service holds the socket's descriptors: a socket is only restarted together with it
  if (due.has(UNITS.dnsSocket)) due.add(UNITS.dns);
  return group.desired(goal).flatMap((unit) => {
    const state = known(observed.states.get(unit) ?? { state: "absent" }, unit);
    return planOne(unit, state, due.has(unit));
  });
}

function planOne(unit: string, state: UnitState | undefined, isDue: boolean): readonly Step<UnitAction>[] {
  const steps: Step<UnitAction>[] = [];
  const act = (verb: "enable" | "start" | "restart", summary: string, op: "enable" | "restart"): void => {
    steps.push(step(verb, unit, summary, { op, unit }));
  };
  if (state?.enabled !== true) act("enable", `start ${unit} at boot`, "enable");
  if (state?.active !== true) act("start", `start ${unit}`, "restart");
  else if (isDue) act("restart", `restart ${unit}`, "restart");
  return steps;
}

function retire(unit: string): Step<UnitAction> {
  return step("stop", unit, `stop ${unit}`, { op: "retire", unit });
}
