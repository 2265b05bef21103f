import type { Command } from "commander";
import type { AddCommands } from "../cli/program.ts";
type Run = Parameters<AddCommands>[1];
export function addDnsCommands(_program: Command, _run: Run): void {}
