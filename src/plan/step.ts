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
 * One change to one server. A plan is a list of them; an empty list means that nothing needs to be done. All but `action` can
 * be printed and sent: `summary` and `details` are for people and never hold a secret.
 */
export interface Step<Action = unknown> {
  /** the resource kind that knows how to execute it, e.g. "file" */
  readonly kind: string;
  /** the thing that changes, e.g. a path, a unit, a peer's name */
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
  /**
   * Everything that the executor needs, the content of files included; opaque to everybody else, and never shown or sent. What
   * may be secret in it is a {@link Secret}.
   */
  readonly action: Action;
}

/** Makes the steps of one kind. */
export function stepsOf<Action>(kind: string) {
  return (
    verb: StepVerb,
    target: string,
    summary: string,
    action: Action,
    more: Pick<Step, "details" | "restarts"> = {},
  ): Step<Action> => ({ kind, target, verb, summary, ...more, action });
}
