import type { Command } from "commander";
import { networkGc } from "../records/gc.ts";
import { common, JSON_OUTPUT, outputFor, YES, type CommonOptions, type Registrar } from "./registrar.ts";

interface GcFlags {
  readonly force?: true;
  readonly yes?: true;
}

/** `jiji network gc`. */
export function registerGc({ network, context, run }: Registrar): void {
  network
    .command("gc")
    .description("rows that nobody stands for any more; shows them, and deletes only with --force")
    .option("--force", "delete them, after asking, and free the numbers of removed servers")
    .option("-y, --yes", `with --force: ${YES}`)
    .option("--json", JSON_OUTPUT)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & GcFlags>();
      run(() =>
        networkGc(context, outputFor(context, options), {
          ...common(options),
          force: options.force === true,
          yes: options.yes === true,
        }),
      );
    });
}
