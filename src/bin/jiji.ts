import { basename } from "node:path";
import { runCli } from "../cli/program.ts";
import { systemContext } from "../cli/system-context.ts";
import { PATHS } from "../model/paths.ts";
import { addServerCommands } from "./server-commands.ts";

/** On a server the program is also known as jiji-dns; called so and without a word it serves what setup wrote there. */
function commandLine(): readonly string[] {
  const words = process.argv.slice(2);
  const isDns = basename(process.argv0) === basename(PATHS.dnsExecutable) && words.length === 0;
  return isDns ? ["dns", "serve", "--settings", PATHS.dnsSettings] : words;
}

process.exitCode = await runCli(commandLine(), systemContext(), addServerCommands);
