import { Option, type Command } from "commander";
import { networkSetup } from "../setup/setup.ts";
import {
  collect,
  common,
  DRY_RUN,
  JSON_OUTPUT,
  outputFor,
  RESTART_ENGINE,
  YES,
  type CommonOptions,
  type Registrar,
} from "./registrar.ts";

interface SetupFlags {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly restartEngine?: true;
  readonly corrosionBinary: string[];
}

/** `jiji network setup`. */
export function registerSetup({ network, context, run }: Registrar): void {
  network
    .command("setup")
    .description("make every server a member of the network; safe to run again")
    .option("--dry-run", DRY_RUN)
    .option("-y, --yes", YES)
    .option("--json", JSON_OUTPUT)
    .option("--restart-engine", RESTART_ENGINE)
    .addOption(
      new Option(
        "--corrosion-binary <path>",
        "install this Corrosion instead of the official release; once per architecture",
      )
        .argParser(collect)
        .default([], "official"),
    )
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & SetupFlags>();
      run(() =>
        networkSetup(context, outputFor(context, options), {
          ...common(options),
          dryRun: options.dryRun === true,
          yes: options.yes === true,
          restartEngine: options.restartEngine === true,
          corrosionBinary: options.corrosionBinary,
        }),
      );
    });
}
