import { JijiError } from "../../model/errors.ts";
import type { Identity } from "../../model/identity.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { PATHS } from "../../model/paths.ts";
import { known, type Reading } from "../../model/reading.ts";
import type { NodeGoal } from "../goal.ts";
import { planRestores, type Steps } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import { stepsOf, type Step } from "../step.ts";

export const IDENTITY_KIND = "identity";

export interface IdentityObserved {
  readonly identity: Reading<Identity>;
  readonly publicKey: Reading<WireGuardPublicKey>;
}

export type IdentityAction =
  | { readonly op: "make-identity"; readonly name: string; readonly subnet: number }
  | { readonly op: "make-key" };

const step = stepsOf<IdentityAction>(IDENTITY_KIND);

/** Makes what is not there; what is there is never made again. Throws when it belongs to another name or number. */
export function planIdentity(goal: NodeGoal, observed: IdentityObserved, manifest: Manifest): Steps<IdentityAction> {
  if (goal.phase === "teardown") return planRestores(IDENTITY_KIND, manifest);
  const { name, subnet } = goal.spec;
  const identity = known(observed.identity, PATHS.identity);
  const steps: Step<IdentityAction>[] = [];
  if (identity === undefined) {
    const summary = `identity: made on the server, as ${name}, number ${subnet}`;
    steps.push(step("create", PATHS.identity, summary, { op: "make-identity", name, subnet }));
  } else if (identity.name !== name || identity.subnet !== subnet) {
    const is = `${identity.name}, number ${identity.subnet}`;
    throw new JijiError("conflict", `this server is ${is}, and cannot become ${name}, number ${subnet}`, {
      hint: "a server keeps its name and number; tear it down first to give it others",
    });
  }
  if (known(observed.publicKey, PATHS.wireguardKey) === undefined) {
    steps.push(step("create", PATHS.wireguardKey, "key: made on the server", { op: "make-key" }));
  }
  return steps;
}
