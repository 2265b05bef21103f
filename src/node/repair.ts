import { joinGoal } from "../apply/members-file.ts";
import { resourceKinds } from "../apply/kinds.ts";
import type { AnyResourceKind } from "../apply/kind.ts";
import { applyGoal } from "../apply/loop.ts";
import { serviceProbes } from "../apply/service-probes.ts";
import { JijiError } from "../model/errors.ts";
import { parseNodeSpecFile } from "../model/node-spec.ts";
import { PATHS } from "../model/paths.ts";
import { known } from "../model/reading.ts";
import { withApplyLock } from "./apply-lock.ts";
import type { Call } from "./call.ts";

/**
 * `jiji node repair`: makes this server what its own spec.json and members.json say. It needs no operator and reports to the
 * journal.
 */
export async function runNodeRepair(
  _request: null,
  { host, say }: Call<"repair">,
  kinds: readonly AnyResourceKind[] = resourceKinds(serviceProbes(host)),
): Promise<void> {
  const text = known(await host.files.read(PATHS.spec), PATHS.spec);
  const spec = text === undefined ? undefined : parseNodeSpecFile(text);
  if (spec === undefined) {
    throw new JijiError("conflict", `${PATHS.spec} ${text === undefined ? "is not there" : "is malformed"}`, {
      hint: "run jiji network setup for this server",
    });
  }
  const goal = await joinGoal(host.files, spec, [], { expected: [] });
  const { steps } = await withApplyLock(goal, () =>
    applyGoal({
      host,
      kinds,
      goal,
      onEvent: (event) => {
        if (event.type === "progress") say(event);
      },
    }),
  );
  for (const { summary } of steps) say({ type: "progress", line: `repaired: ${summary}` });
  say({ type: "done", notes: [] });
}
