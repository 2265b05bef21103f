// npm run fuzz -- dns [--packets N] [--seed S]: mutated packets through the live socket of a real `jiji dns serve`, valid
// questions between them, every answer compared. npm run fuzz -- agent: mutated datagrams from members to a real agent's
// link. The report is JSON on standard output; exit 1 when anything was wrong.
import { Command } from "commander";
import { fuzzAgent } from "./agent-fuzz.ts";
import { fuzzDns } from "./dns-fuzz.ts";

const program = new Command("fuzz");
program
  .command("dns")
  .option("--packets <n>", "how many mutated packets", Number, 1_000_000)
  .option("--seed <n>", "the same packets again", Number, Date.now() % 2 ** 31)
  .action(async ({ packets, seed }: { packets: number; seed: number }) => {
    const say = (line: string): void => void process.stderr.write(`   ${line}\n`);
    const report = await fuzzDns({ packets, seed, say });
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    process.exitCode = report.complaints.length > 0 ? 1 : 0;
  });
program
  .command("agent")
  .option("--packets <n>", "how many mutated datagrams", Number, 1_000_000)
  .option("--seed <n>", "the same datagrams again", Number, Date.now() % 2 ** 31)
  .action(async (options: { packets: number; seed: number }) => {
    const report = await fuzzAgent(options);
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    process.exitCode = report.complaints.length > 0 ? 1 : 0;
  });
// Interrupted, it takes the server down with it.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
await program.parseAsync();
