import { Argument, type Command } from "commander";
import type { AddCommands } from "../cli/program.ts";
import { EXIT, type ExitCode } from "../cli/exit-codes.ts";
import { SUBCOMMAND_NAMES, type Subcommand } from "../model/node/subcommands.ts";
import { startAgentService } from "./agent-service.ts";
import { addDnsCommands } from "./dns-commands.ts";
import { runNodeWords } from "./node-words.ts";
import { untilStopped } from "./stop-signals.ts";
import { startStoreService, type StoreServeOptions } from "./store-service.ts";

type Run = Parameters<AddCommands>[1];

/** Commands that run on a server: for its units, for the CLI over SSH, and for people who run a part by hand. */
export const addServerCommands: AddCommands = (program, run, context) => {
  addAgentCommands(program, run);
  addStoreCommands(program, run);
  addDnsCommands(program, run, context);
  addNodeCommands(program, run);
};

function addAgentCommands(program: Command, run: Run): void {
  const agent = program.command("agent").description("the service that mirrors a server's containers into the store");
  agent
    .command("run")
    .description("run it until SIGTERM; jiji-agent.service does this")
    .requiredOption("--settings <file>", "its settings, /opt/jiji/agent/settings.json on a server")
    .action(({ settings }: { settings: string }) => {
      run(async () => untilStopped(await startAgentService(settings)));
    });
}

function addStoreCommands(program: Command, run: Run): void {
  const store = program.command("store").description("the embedded store, for tests and trials");
  store
    .command("serve")
    .description("serve Corrosion's HTTP API over one SQLite file, with jiji's tables, until SIGTERM")
    .requiredOption("--listen <ip:port>", "where to listen; port 0 takes a free one")
    .requiredOption("--db <file>", "the database; made when it is not there")
    .option("--token-file <file>", "the bearer token that every request must have, alone in a file")
    .action((options: StoreServeOptions) => {
      run(async () => untilStopped(await startStoreService(options)));
    });
}

function addNodeCommands(program: Command, run: Run): void {
  program
    .command("node", { hidden: true })
    .description("what the CLI runs on a server: one JSON request on standard input, NDJSON on standard output")
    .addArgument(new Argument("<subcommand>", "what to do").choices(SUBCOMMAND_NAMES))
    .action((subcommand: Subcommand) => {
      run(async () => ((await runNodeWords(subcommand)) ?? EXIT.usage) as ExitCode);
    });
}
