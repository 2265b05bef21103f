import type { Command } from "commander";
import { networkTeardown } from "../teardown/teardown.ts";
import {
  common,
  DRY_RUN,
  JSON_OUTPUT,
  outputFor,
  RESTART_ENGINE,
  YES,
  type CommonOptions,
  type Registrar,
} from "./registrar.ts";

interface TeardownFlags {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly restartEngine?: true;
}

/** `jiji network teardown`. */
export function registerTeardown({ network, context, run }: Registrar): void {
  network
    .command("teardown")
    .description("take the servers out of the network and leave each as it was before")
    .option("--dry-run", DRY_RUN)
    .option("-y, --yes", YES)
    .option("--json", JSON_OUTPUT)
    .option("--restart-engine", RESTART_ENGINE)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & TeardownFlags>();
      run(() =>
        networkTeardown(context, outputFor(context, options), {
          ...common(options),
          dryRun: options.dryRun === true,
          yes: options.yes === true,
          restartEngine: options.restartEngine === true,
        }),
      );
    });
}
