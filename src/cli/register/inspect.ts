import type { Command } from "commander";
import { networkInspect } from "../containers/inspect.ts";
import { common, JSON_OUTPUT, outputFor, type CommonOptions, type Registrar } from "./registrar.ts";

/** `jiji network inspect`. */
export function registerInspect({ network, context, run }: Registrar): void {
  network
    .command("inspect")
    .description("one container as its engine, the stores and the DNS servers know it; exit 5 when they differ")
    .requiredOption(
      "--container <id|name>",
      "id or the beginning of one, name, DNS name, instance or address, on any server",
    )
    .option("--json", JSON_OUTPUT)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { readonly container: string }>();
      run(() =>
        networkInspect(context, outputFor(context, options), { ...common(options), container: options.container }),
      );
    });
}
