import { runCli } from "../cli/program.ts";
import { systemContext } from "../cli/system-context.ts";
import type { ExitCode } from "../cli/exit-codes.ts";
import { addServerCommands } from "./server-commands.ts";

/** Runs one command line, without the program's name, on this machine; gives the exit code. */
export async function runWords(words: readonly string[]): Promise<ExitCode> {
  return runCli(words, systemContext(), addServerCommands);
}
