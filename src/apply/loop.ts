import { join } from "node:path";
import { JijiError } from "../model/errors.ts";
import type { ApplyEvent } from "../model/node/apply.ts";
import { PATHS } from "../model/paths.ts";
import type { NodeGoal } from "../plan/goal.ts";
import { HOME } from "../plan/kinds/folder.ts";
import { manifestEntry, type Manifest } from "../plan/manifest.ts";
import type { Step } from "../plan/step.ts";
import type { Host } from "../system/host.ts";
import type { AnyResourceKind, ApplyContext } from "./kind.ts";
import { changeFile, isManagedFileAction } from "./managed-file.ts";
import { ManifestFile } from "./manifest-file.ts";
import { markPending } from "./units.ts";

export interface ApplyOptions {
  readonly host: Host;
  /** in the order of setup; teardown goes backwards */
  readonly kinds: readonly AnyResourceKind[];
  readonly goal: NodeGoal;
  /** Steps as they are done, and lines for people. */
  readonly onEvent: (event: Extract<ApplyEvent, { type: "plan" | "step" | "progress" }>) => void;
}

/** The steps towards a goal, and the kinds' notes on the world as it is. */
export interface GoalPlan {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
}

/** Plans all kinds for the goal, as the server is now. Changes nothing. */
export async function planGoal(host: Host, kinds: readonly AnyResourceKind[], goal: NodeGoal): Promise<GoalPlan> {
  const { manifest } = await ManifestFile.load(host.files);
  const seen = await Promise.all(
    inOrder(kinds, goal).map(async (kind) => [kind, (await kind.observe(host, goal, manifest)) as unknown] as const),
  );
  const steps: Step[] = [];
  const notes: string[] = [];
  for (const [kind, observed] of seen) {
    steps.push(...kind.plan(goal, observed, manifest, [...steps]));
    notes.push(...(kind.notes?.(goal, observed, manifest) ?? []));
  }
  return { steps, notes };
}

/**
 * Makes this server as the goal says. Gives the steps that were done and the notes that remain. It may stop at any point and be
 * started again: each kind is observed and planned anew just before its turn, and what stood there before is on disk before it
 * changes. Throws what a step throws; what was done until then stays done.
 */
export async function applyGoal({ host, kinds, goal, onEvent }: ApplyOptions): Promise<GoalPlan> {
  const { steps: planned, notes } = await planGoal(host, kinds, goal);
  onEvent({ type: "plan", steps: planned.map(publicStep) });
  const done: Step[] = [];
  const left: string[] = planned.length === 0 ? [...notes] : [];
  if (planned.length > 0) {
    const file = await ManifestFile.load(host.files);
    const report = stepReporter(planned, onEvent);
    for (const kind of inOrder(kinds, goal)) {
      const applied = await applyKind(kind, { host, goal, file, report, onEvent });
      done.push(...applied.steps);
      left.push(...applied.notes);
    }
  }
  if (goal.phase === "teardown") await finishTeardown(host);
  return { steps: done, notes: left };
}

async function finishTeardown(host: Host): Promise<void> {
  const { manifest } = await ManifestFile.load(host.files);
  const [left] = manifest.entries;
  if (left !== undefined) {
    throw new JijiError("conflict", `this release of jiji cannot put back ${left.target} (${left.kind})`, {
      hint: "run teardown with the release that set this server up",
    });
  }
  await removeRemains(host);
}

/** Held while teardown runs; whoever holds them removes them. */
const LOCKS: readonly string[] = [PATHS.lock, PATHS.applyLock];

/**
 * The end of teardown: uploads, what services left under /run, the manifest (every entry of it is put back by now) and
 * jiji's own folder. A folder in which somebody left something stays.
 */
async function removeRemains({ files }: Host): Promise<void> {
  await files.remove(PATHS.staging);
  const run = await files.list(PATHS.run);
  for (const name of run.state === "found" ? run.value : []) {
    const path = join(PATHS.run, name);
    if (!LOCKS.includes(path)) await files.remove(path);
  }
  await files.remove(PATHS.membersLock);
  await files.remove(PATHS.manifest);
  const left = await files.list(HOME);
  if (left.state === "found" && left.value.length === 0) await files.remove(HOME);
}

interface KindRun {
  readonly host: Host;
  readonly goal: NodeGoal;
  readonly file: ManifestFile;
  readonly report: (step: Step, state: "started" | "done") => void;
  readonly onEvent: ApplyOptions["onEvent"];
}

/** The steps that were done, and the notes that remain. */
async function applyKind(kind: AnyResourceKind, run: KindRun): Promise<GoalPlan> {
  const { host, goal, file } = run;
  const plan = await planKind(kind, host, goal, file.manifest);
  const { steps } = plan;
  if (steps.length === 0) return plan;
  const context: ApplyContext = {
    host,
    goal,
    before: (target) => manifestEntry(file.manifest, kind.kind, target)?.before,
    remember: (target, before) => file.remember({ kind: kind.kind, target, before }),
    forget: (target) => file.forget(kind.kind, target),
    progress: (line) => run.onEvent({ type: "progress", line }),
  };
  for (const step of steps) {
    run.report(step, "started");
    for (const unit of step.restarts ?? []) await markPending(host.files, unit);
    await executeStep(kind, step, context);
    run.report(step, "done");
  }
  const after = await planKind(kind, host, goal, file.manifest);
  const [first] = after.steps;
  if (first !== undefined) {
    throw new JijiError(
      "conflict",
      `${first.target} is not as it should be although its steps succeeded: ${first.summary}`,
      {
        hint: "something else on this server changes it at the same time; find out what, then run the command again",
      },
    );
  }
  return { steps, notes: after.notes };
}

function executeStep(kind: AnyResourceKind, step: Step, context: ApplyContext): Promise<void> {
  const { action } = step;
  if (!isManagedFileAction(action)) return kind.execute(step, context);
  const change = (): Promise<void> => changeFile(action, context);
  return kind.aroundFile?.(action, change, context) ?? change();
}

async function planKind(kind: AnyResourceKind, host: Host, goal: NodeGoal, manifest: Manifest): Promise<GoalPlan> {
  const observed: unknown = await kind.observe(host, goal, manifest);
  return { steps: kind.plan(goal, observed, manifest, []), notes: kind.notes?.(goal, observed, manifest) ?? [] };
}

function inOrder(kinds: readonly AnyResourceKind[], goal: NodeGoal): readonly AnyResourceKind[] {
  return goal.phase === "teardown" ? kinds.toReversed() : kinds;
}

/** A step as people and the CLI see it: without what its executor needs. */
export function publicStep(step: Step): Omit<Step, "action"> {
  const { action: _action, ...shown } = step;
  return shown;
}

/**
 * Gives each step that is done its place in the plan that was shown. A step that only showed itself on the way (a unit
 * that came up by itself, say) has no place there and is told as a line.
 */
function stepReporter(planned: readonly Step[], onEvent: ApplyOptions["onEvent"]): KindRun["report"] {
  const open = new Map(planned.map((step, index) => [index, step]));
  const indexOf = (step: Step): number | undefined =>
    [...open].find(
      ([, { kind, target, verb }]) => kind === step.kind && target === step.target && verb === step.verb,
    )?.[0];
  return (step, state) => {
    const index = indexOf(step);
    if (index === undefined) {
      if (state === "started") onEvent({ type: "progress", line: step.summary });
      return;
    }
    if (state === "done") open.delete(index);
    onEvent({ type: "step", index, state });
  };
}
