import { runCli } from "../cli/program.ts";
import { systemContext } from "../cli/system-context.ts";

process.exitCode = await runCli(process.argv.slice(2), systemContext());
