import { runCli } from "../cli/program.ts";
import { systemContext } from "../cli/system-context.ts";
import { addServerCommands } from "./server-commands.ts";

process.exitCode = await runCli(process.argv.slice(2), systemContext(), addServerCommands);
