import { JijiError } from "../../model/errors.ts";
import type { Identity } from "../../model/identity.ts";
import type { WireGuardPublicKey } from "../../model/keys.ts";
import { PATHS } from "../../model/paths.ts";
import type { Reading } from "../../model/reading.ts";
import type { NodeGoal } from "../goal.ts";
import { known, planRestore, type RestoreFileAction } from "../managed-file.ts";
import type { Manifest } from "../manifest.ts";
import type { Step } from "../step.ts";

export const IDENTITY_KIND = "identity";

export interface ObservedIdentity {
  readonly identity: Reading<Identity>;
  readonly publicKey: Reading<WireGuardPublicKey>;
}

export type IdentityAction = RestoreFileAction | { readonly op: "make-identity" } | { readonly op: "make-key" };

/** Makes what is not there; what is there is never made again. Throws when it belongs to another name or number. */
export function planIdentity(
  goal: NodeGoal,
  observed: ObservedIdentity,
  manifest: Manifest,
): readonly Step<IdentityAction>[] {
  if (goal.phase === "teardown") {
    return manifest.entries
      .filter(({ kind }) => kind === IDENTITY_KIND)
      .toReversed()
      .map((entry) => planRestore(IDENTITY_KIND, entry));
  }
  const { name, subnet } = goal.spec;
  const identity = known(observed.identity, PATHS.identity);
  const steps: Step<IdentityAction>[] = [];
  if (identity === undefined) {
    steps.push(make(PATHS.identity, `identity: made on the server, as ${name}, number ${subnet}`, "make-identity"));
  } else if (identity.name !== name || identity.subnet !== subnet) {
    const is = `${identity.name}, number ${identity.subnet}`;
    throw new JijiError("conflict", `this server is ${is}, and cannot become ${name}, number ${subnet}`, {
      hint: "a server keeps its name and number; tear it down first to give it others",
    });
  }
  if (known(observed.publicKey, PATHS.wireguardKey) === undefined) {
    steps.push(make(PATHS.wireguardKey, "key: made on the server", "make-key"));
  }
  return steps;
}

function make(target: string, summary: string, op: "make-identity" | "make-key"): Step<IdentityAction> {
  return { kind: IDENTITY_KIND, target, verb: "create", summary, action: { op } };
}
