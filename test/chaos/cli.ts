// npm run chaos -- --boots N: takes five servers of one mesh down together, N times, and says which of them came back. Every
// third time they are rebooted, else their power is cut. The report is JSON on standard output; exit 1 when a server was
// left outside.
import { Command } from "commander";
import { startMesh } from "../../lab/mesh.ts";
import { bootTogether, type Boot } from "./boots.ts";

const SERVERS = ["alpha", "beta", "gamma", "delta", "omega"] as const;
const RELEASES = ["trixie", "bookworm", "forky"] as const;

const say = (line: string): void => void process.stderr.write(`   ${line}\n`);

async function boots(count: number): Promise<readonly Boot[]> {
  const mesh = await startMesh({
    servers: SERVERS.map((name, index) => ({
      name,
      release: RELEASES[index % RELEASES.length] ?? "trixie",
      engine: index % 2 === 0 ? "docker" : "podman",
    })),
    onProgress: say,
  });
  try {
    const done: Boot[] = [];
    for (let number = 1; number <= count; number++) {
      const boot = await bootTogether(mesh, number % 3 === 0 ? "reboot" : "power cut");
      say(`${number} of ${count}: ${boot.shutdown}, whole after ${boot.wholeMs ?? "more than 30000"} ms`);
      for (const complaint of boot.complaints) say(`  ${complaint}`);
      done.push(boot);
    }
    return done;
  } finally {
    await mesh.lab.down();
  }
}

const program = new Command("chaos")
  .description("Takes the servers of one mesh down together, again and again, and says what came back.")
  .requiredOption("--boots <n>", "how many times all five servers go down", Number)
  .action(async (options: { boots: number }) => {
    const done = await boots(options.boots);
    process.stdout.write(`${JSON.stringify(done, null, 2)}\n`);
    process.exitCode = done.some(({ complaints }) => complaints.length > 0) ? 1 : 0;
  });
await program.parseAsync();
