import { joinGoal } from "../apply/members-file.ts";
import { resourceKinds } from "../apply/kinds.ts";
import type { AnyResourceKind } from "../apply/kind.ts";
import { applyGoal } from "../apply/loop.ts";
import { serviceProbes } from "../apply/service-probes.ts";
import { JijiError } from "../model/errors.ts";
import { parseNodeSpecFile } from "../model/node-spec.ts";
import type { ApplyEvent } from "../model/node/apply.ts";
import { PATHS } from "../model/paths.ts";
import { known } from "../plan/managed-file.ts";
import type { Host } from "../system/host.ts";
import { withApplyLock } from "./apply-lock.ts";
import { reportFailure, type Out } from "./out.ts";

/**
 * `jiji node repair`: makes this server again as its own spec.json and members.json say. Needs no operator, and says what
 * it does in {@link ApplyEvent} lines for the journal. Exit 0 when all is as it should be, else 1.
 */
export async function runNodeRepair(
  host: Host,
  out: Out,
  kinds: readonly AnyResourceKind[] = resourceKinds(serviceProbes(host)),
): Promise<number> {
  const say = (line: string): void => out({ type: "progress", line } satisfies ApplyEvent);
  try {
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
          if (event.type === "progress") say(event.line);
        },
      }),
    );
    for (const { summary } of steps) say(`repaired: ${summary}`);
    out({ type: "done", notes: [] } satisfies ApplyEvent);
    return 0;
  } catch (error) {
    return reportFailure(error, out);
  }
}
