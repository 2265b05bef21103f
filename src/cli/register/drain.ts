import type { Command } from "commander";
import { networkDrain } from "../containers/drain.ts";
import { common, JSON_OUTPUT, outputFor, type CommonOptions, type Registrar } from "./registrar.ts";

/** `jiji network drain`. */
export function registerDrain({ network, context, run }: Registrar): void {
  network
    .command("drain")
    .description("hide a running container from all answers, and say when no server answers it any more")
    .argument("<id>", "its id or the beginning of it, name, the DNS name of an instance, or address")
    .option("--undo", "answer it again")
    .option("--json", JSON_OUTPUT)
    .action((container: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { readonly undo?: true }>();
      const undo = options.undo === true;
      run(() => networkDrain(context, outputFor(context, options), { ...common(options), container, undo }));
    });
}
