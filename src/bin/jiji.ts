import { basename } from "node:path";
import { PATHS } from "../model/paths.ts";

/** On a server jiji-dns is a link to this program. Called so without arguments, it serves as setup configured it. */
function commandLine(): readonly string[] {
  const words = process.argv.slice(2);
  const isDns = basename(process.argv0) === basename(PATHS.dnsExecutable) && words.length === 0;
  return isDns ? ["dns", "serve", "--settings", PATHS.dnsSettings] : words;
}

/**
 * A person's command loads every command, for help and suggestions. `jiji node` runs several times per server in each setup,
 * and `jiji dns serve` runs all the time, so these two load only what they need.
 */
async function run(words: readonly string[]): Promise<number> {
  const [group, subcommand = "", ...rest] = words;
  if (group === "node" && rest.length === 0) {
    const { runNodeWords } = await import("./node-words.ts");
    const code = await runNodeWords(subcommand);
    if (code !== undefined) return code;
  }
  const [option, settings = "", ...more] = rest;
  if (group === "dns" && subcommand === "serve" && option === "--settings" && settings !== "" && more.length === 0) {
    const { runDnsWords } = await import("./dns-words.ts");
    return runDnsWords(settings);
  }
  const { runWords } = await import("./run-words.ts");
  return runWords(words);
}

process.exitCode = await run(commandLine());
