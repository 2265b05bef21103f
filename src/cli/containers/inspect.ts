import { connectAll, failuresOf } from "../servers/asked-servers.ts";
import { Ambiguous, findContainer } from "./container-search.ts";
import type { CliContext } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { selectServers } from "../servers/host-pattern.ts";
import { renderInspection } from "./inspect-text.ts";
import { compareSides } from "./inspection.ts";
import { loadConfig, type ConfigChoice } from "../load-config.ts";
import { refuseDisabled } from "../setup/setup.ts";
import type { Output } from "../output.ts";
import { openTrustedSsh } from "../servers/trusted-ssh.ts";

export interface InspectOptions extends ConfigChoice {
  readonly hosts: readonly string[];
  readonly json: boolean;
  /** id or the beginning of one, name, DNS name, instance or address */
  readonly container: string;
}

/**
 * `jiji network inspect`: one container as its engine, the stores and the DNS servers know it, side by side. Exit 5 when
 * something is not as it should be, 4 when some server could not be asked, 1 when none or several containers fit.
 */
export async function networkInspect(context: CliContext, output: Output, options: InspectOptions): Promise<ExitCode> {
  const loaded = loadConfig(context, options);
  refuseDisabled(loaded);
  const servers = selectServers(loaded.config.servers, options.hosts);
  const ssh = await openTrustedSsh(context, loaded, options.trustConfig);
  try {
    const search = await findContainer(context, connectAll(context, ssh, servers), options.container);
    const inspection = compareSides(search);
    const unasked = failuresOf(search.outcomes).map(({ server, error }) => ({ server, why: error.message }));
    const code = inspection.differences > 0 ? EXIT.unhealthy : unasked.length > 0 ? EXIT.partly : EXIT.ok;
    if (options.json) output.json(code, { ...inspection, unasked });
    else output.data(renderInspection(inspection, output.colors));
    return code;
  } catch (error) {
    if (options.json && error instanceof Ambiguous)
      output.json(EXIT.failed, { container: null, candidates: error.candidates });
    throw error;
  } finally {
    await ssh.close();
  }
}
