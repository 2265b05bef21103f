import type { Command } from "commander";
import { networkDns, normalizeFilter } from "../names/dns.ts";
import { common, JSON_OUTPUT, outputFor, type CommonOptions, type Registrar } from "./registrar.ts";

/** `jiji network dns`. */
export function registerDns({ network, context, run }: Registrar): void {
  network
    .command("dns")
    .description("the names of all services, with addresses, servers and states; exit 5 when servers disagree")
    .argument("[name]", "only names that equal or contain this")
    .option("--from <server>", "ask that server's jiji-dns over the wire, and compare with the other servers")
    .option("--json", JSON_OUTPUT)
    .action((name: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { readonly from?: string }>();
      const filter = name === undefined ? undefined : normalizeFilter(name);
      run(() =>
        networkDns(context, outputFor(context, options), { ...common(options), name: filter, from: options.from }),
      );
    });
}
