import type { Command } from "commander";
import { networkStatus } from "../status/status.ts";
import { common, JSON_OUTPUT, outputFor, type CommonOptions, type Registrar } from "./registrar.ts";

/** `jiji network status`. */
export function registerStatus({ network, context, run }: Registrar): void {
  network
    .command("status")
    .description("every server as it is now; exit 5 when one is not healthy")
    .option("--json", JSON_OUTPUT)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      run(() => networkStatus(context, outputFor(context, options), common(options)));
    });
}
