import { PATHS } from "../../model/paths.ts";
import type { Reading } from "../../model/reading.ts";
import type { Secret } from "../../model/secret.ts";
import { UNITS } from "../../model/units.ts";
import type { NodeGoal } from "../goal.ts";
import { known, planRestore, type RestoreFileAction } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

export const TOKEN_KIND = "token";

export interface ObservedTokens {
  readonly corrosion: Reading<Secret>;
  readonly embedded: Reading<Secret>;
}

export type TokenAction =
  | RestoreFileAction
  /** a new random one */
  | { readonly op: "generate"; readonly path: string }
  /** the mesh's, as its holder made it */
  | { readonly op: "accept"; readonly path: string };

/**
 * The bearer token of the store that this server talks to. Corrosion's is this server's own; the embedded store's is made
 * by its holder and brought to the others over SSH.
 */
export function planTokens(goal: NodeGoal, observed: ObservedTokens, manifest: Manifest): readonly Step<TokenAction>[] {
  const wanted = wantedToken(goal);
  const steps: Step<TokenAction>[] = manifest.entries
    .filter(({ kind, target }) => kind === TOKEN_KIND && (goal.phase === "teardown" || target !== wanted))
    .map((entry) => planRestore(TOKEN_KIND, entry));
  if (goal.phase === "teardown" || wanted === undefined) return steps;
  const { spec } = goal;
  if (wanted === PATHS.corrosionToken) {
    if (known(observed.corrosion, wanted) === undefined) steps.push(generate(wanted, [UNITS.corrosion, UNITS.agent]));
    return steps;
  }
  const token = known(observed.embedded, wanted);
  if (spec.store.kind === "embedded" && spec.store.holder === spec.subnet) {
    if (token === undefined) steps.push(generate(wanted, [UNITS.store, UNITS.agent]));
    return steps;
  }
  const brought = goal.phase === "join" ? goal.storeToken : undefined;
  if (brought === undefined ? token === undefined && goal.phase === "join" : brought.reveal() !== token?.reveal()) {
    const summary = "store token: taken over from the server that holds the store";
    const verb = token === undefined ? "create" : "change";
    const action: TokenAction = { op: "accept", path: wanted };
    steps.push({ kind: TOKEN_KIND, target: wanted, verb, summary, restarts: [UNITS.agent], action });
  }
  return steps;
}

function wantedToken(goal: NodeGoal): string | undefined {
  if (goal.phase === "teardown") return undefined;
  const { store, subnet } = goal.spec;
  if (store.kind === "corrosion") return PATHS.corrosionToken;
  return goal.phase === "join" || store.holder === subnet ? PATHS.embeddedStoreToken : undefined;
}

function generate(path: string, restarts: readonly string[]): Step<TokenAction> {
  const summary = "store token: made on the server";
  return { kind: TOKEN_KIND, target: path, verb: "create", summary, restarts, action: { op: "generate", path } };
}
