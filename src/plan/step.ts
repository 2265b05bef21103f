/** What happens to the target. Verbs are for people as well: they are printed in the plan. */
export type StepVerb =
  | "install"
  | "create"
  | "change"
  | "remove"
  | "restore"
  | "start"
  | "restart"
  | "stop"
  | "enable"
  | "disable";

/**
 * One change to one server: a plain JSON value that can be printed, counted, sent and executed. A plan is a list of
 * them; an empty list means that nothing needs to be done. `summary` and `details` are for people and never hold a
 * secret.
 */
export interface Step<Action = unknown> {
  /** the resource kind that knows how to execute it, e.g. "file" */
  readonly kind: string;
  /** what it is about, e.g. a path, a unit, a peer's name */
  readonly target: string;
  readonly verb: StepVerb;
  /** one line, e.g. "write /etc/wireguard/jiji0.conf" */
  readonly summary: string;
  /** further lines, e.g. a diff of the file */
  readonly details?: readonly string[];
  /**
   * Units that have to be restarted after it. The loop remembers them (PATHS.pendingRestarts) before the step runs, so
   * that a restart is neither forgotten after a crash nor done without need; the unit's own kind restarts it in its turn.
   */
  readonly restarts?: readonly string[];
  /** what the executor of that kind needs; opaque to everybody else */
  readonly action: Action;
}
