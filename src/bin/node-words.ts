import { NODE_SUBCOMMANDS, runNode } from "../cli/node/run-node.ts";
import { systemHost } from "../system/system-host.ts";

/** Runs `jiji node SUBCOMMAND` on this machine; undefined when there is no such subcommand. */
export async function runNodeWords(subcommand: string): Promise<number | undefined> {
  const known = NODE_SUBCOMMANDS.find((name) => name === subcommand);
  if (known === undefined) return undefined;
  return runNode(known, {
    host: systemHost,
    input: process.stdin,
    write: (text) => void process.stdout.write(text),
  });
}
