import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import type { Secret } from "../../model/secret.ts";
import { UNITS } from "../../model/units.ts";
import type { JoinGoal, NodeGoal, PrepareGoal } from "../goal.ts";
import { planRestores, type Steps } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const TOKEN_KIND = "token";

export interface TokenObserved {
  readonly corrosion: Reading<Secret>;
  readonly embedded: Reading<Secret>;
}

export type TokenAction =
  /** a new random one */
  | { readonly op: "generate"; readonly path: string }
  /** the mesh's, as its holder made it; undefined: not brought along yet, such a step is shown and cannot be executed */
  | { readonly op: "accept"; readonly path: string; readonly token: Secret | undefined };

const step = stepsOf<TokenAction>(TOKEN_KIND);

/**
 * The bearer token of the store that this server talks to. Corrosion's is this server's own; the embedded store's is made
 * by its holder and brought to the others over SSH.
 */
export function planToken(goal: NodeGoal, observed: TokenObserved, manifest: Manifest): Steps<TokenAction> {
  if (goal.phase === "teardown") return planRestores(TOKEN_KIND, manifest);
  const wanted = wantedToken(goal);
  const others = planRestores(TOKEN_KIND, manifest, new Set(wanted === undefined ? [] : [wanted]));
  return wanted === undefined ? others : [...others, ...planWanted(goal, wanted, observed)];
}

function wantedToken({ phase, spec: { store, subnet } }: PrepareGoal | JoinGoal): string | undefined {
  if (store.kind === "corrosion") return PATHS.corrosionToken;
  return phase === "join" || store.holder === subnet ? PATHS.embeddedStoreToken : undefined;
}

function planWanted(goal: PrepareGoal | JoinGoal, path: string, observed: TokenObserved): readonly Step<TokenAction>[] {
  const { store, subnet } = goal.spec;
  const isCorrosion = store.kind === "corrosion";
  const token = known(isCorrosion ? observed.corrosion : observed.embedded, path);
  if (isCorrosion || store.holder === subnet) {
    const restarts = [isCorrosion ? UNITS.corrosion : UNITS.store, UNITS.agent];
    const generate = step("create", path, "store token: made on the server", { op: "generate", path }, { restarts });
    return token === undefined ? [generate] : [];
  }
  const brought = goal.phase === "join" ? goal.storeToken : undefined;
  const isRight = brought === undefined ? token !== undefined : brought.reveal() === token?.reveal();
  if (isRight) return [];
  const summary = "store token: taken over from the server that holds the store";
  const action = { op: "accept", path, token: brought } as const;
  return [step(token === undefined ? "create" : "change", path, summary, action, { restarts: [UNITS.agent] })];
}
