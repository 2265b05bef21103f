import { connectAll, failuresOf } from "../servers/asked-servers.ts";
import { findContainer } from "./container-search.ts";
import type { CliContext } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { renderInspection } from "./inspect-text.ts";
import { compareSides } from "./inspection.ts";
import { withMesh, type MeshOptions } from "../servers/mesh.ts";
import type { Output } from "../output.ts";

export interface InspectOptions extends MeshOptions {
  /** id or the beginning of one, name, DNS name, instance or address */
  readonly container: string;
}

/**
 * `jiji network inspect`: one container as its engine, the stores and the DNS servers know it, side by side. Exit 5 when
 * something is not as it should be, 4 when some server could not be asked, 1 when none or several containers fit.
 */
export async function networkInspect(context: CliContext, output: Output, options: InspectOptions): Promise<ExitCode> {
  return withMesh(context, options, async (mesh) => {
    const search = await findContainer(context, output, connectAll(mesh), options);
    const inspection = compareSides(search);
    const unasked = failuresOf(search.outcomes).map(({ server, error }) => ({ server, why: error.message }));
    const code = inspection.differences > 0 ? EXIT.unhealthy : unasked.length > 0 ? EXIT.partly : EXIT.ok;
    if (options.json) output.json(code, { ...inspection, unasked });
    else output.data(renderInspection(inspection, output.colors));
    return code;
  });
}
