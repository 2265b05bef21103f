import { JijiError } from "../../model/errors.ts";
import type { CliContext } from "../context.ts";
import type { Output } from "../output.ts";
import type { MeshOptions } from "../servers/mesh.ts";
import type { NodeClient } from "../servers/node-client.ts";
import type { ServerPlan } from "./plan-text.ts";

/** Options of a command that changes servers by a plan. */
export interface RolloutOptions extends MeshOptions {
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly restartEngine: boolean;
}

/** A command under way. */
export interface Work {
  readonly context: CliContext;
  readonly output: Output;
  readonly options: RolloutOptions;
  /** on the monotonic clock */
  readonly startedMs: number;
}

/** A server with what is to happen there. */
export interface PlannedServer extends ServerPlan {
  readonly client: NodeClient;
  /** what the server wants people to know */
  readonly notes: readonly string[];
}

/** What became of one server. */
export interface ServerRun {
  readonly error: JijiError | undefined;
  readonly notes: readonly string[];
  readonly tookMs: number;
}

/** Throws a usage error when nobody can say yes to a plan. */
export function refuseWithoutTerminal(context: CliContext, { dryRun, yes }: RolloutOptions): void {
  if (dryRun || yes || context.canAsk) return;
  throw new JijiError("usage", "there is no terminal to ask for confirmation", {
    hint: "give --yes to go ahead; --dry-run shows the plan",
  });
}
