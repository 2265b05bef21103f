import type { Host } from "../system/host.ts";
import type { NodeGoal } from "../plan/goal.ts";
import type { ManagedFileAction, Steps } from "../plan/managed-file.ts";
import type { Manifest } from "../plan/manifest.ts";
import type { Step } from "../plan/step.ts";

/** What the executor of a step is given. */
export interface ApplyContext {
  readonly host: Host;
  readonly goal: NodeGoal;
  /** What is remembered of a thing of this kind at this moment; undefined: nothing yet. */
  readonly before: (target: string) => unknown;
  /**
   * Remembers the state from before, once: a second call for the same thing changes nothing. It is on disk when this
   * resolves; call it before the first change of the thing.
   */
  readonly remember: (target: string, before: unknown) => Promise<void>;
  /** Forgets the entry, after the state from before is back. */
  readonly forget: (target: string) => Promise<void>;
  /** A line for people about what is going on; it never holds a secret. */
  readonly progress: (line: string) => void;
}

/**
 * One kind of resource: how to look at it, how to compare it with the goal, how to change it. `plan` is pure and stands
 * in src/plan/, `observe` never writes, and `execute` does exactly one step and may be repeated at any time.
 */
export interface ResourceKind<Observed, Action> {
  readonly kind: string;
  /** Looks at everything of this kind that the goal or the manifest names. */
  observe(host: Host, goal: NodeGoal, manifest: Manifest): Promise<Observed>;
  /**
   * Steps in the order in which they must run; empty when the world is as the goal says. `earlier` holds the steps of the
   * kinds before it that are planned and not yet done; most kinds have no use for it.
   */
  plan(goal: NodeGoal, observed: Observed, manifest: Manifest, earlier: readonly Step[]): Steps<Action>;
  /** Never given a change of a managed file: the loop executes those, see `aroundFile`. */
  execute(step: Step<Action>, context: ApplyContext): Promise<void>;
  /** What this kind does beside the `change` of one of its files, which it has to call; absent: nothing. */
  aroundFile?(action: ManagedFileAction, change: () => Promise<void>, context: ApplyContext): Promise<void>;
  /** What the operator should know about the world as it is and no step will change, one line each; pure. */
  notes?(goal: NodeGoal, observed: Observed, manifest: Manifest): readonly string[];
}

/** A kind whose types are its own business, as the loop over all kinds sees it. */
// eslint-disable-next-line typescript/no-explicit-any -- the loop hands each kind only what that kind itself returned
export type AnyResourceKind = ResourceKind<any, any>;
