import { join } from "node:path";
import { Command } from "commander";
import { mustRun, run } from "../../tools/run.ts";
import { renderTable } from "../../src/cli/table.ts";
import { parseSubnetNumber, serverAddress } from "../../src/model/cluster.ts";
import { CLUSTER } from "./members.ts";

/** What the probes of the largest mesh may cost: percent of a core, and kB a second of IP packets, both ways together. */
const BARS = { cpuPercent: 0.5, kiloBytesPerSecond: 30 } as const;

interface Cost {
  readonly members: number;
  readonly cpuPercent: number;
  readonly userPercent: number;
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
  readonly sentKiloBytesPerSecond: number;
  readonly receivedKiloBytesPerSecond: number;
  readonly heard: number;
  readonly memoryMegabytes: number;
}

interface Options {
  readonly seconds: string;
  readonly members: string;
  readonly json?: true;
  readonly profile?: string;
}

/** `npm run bench -- probes`: what the probes of a large mesh cost one server, in a network namespace of its own. */
export async function probes(args: readonly string[]): Promise<number> {
  let code = 0;
  await new Command("probes")
    .description("Measures what probing the other members costs one server's agent: processor time and bytes.")
    .option("--members <n>", "members of the mesh", "255")
    .option("--seconds <n>", "how long each of the two measurements lasts", "60")
    .option("--profile <folder>", "write a profile of the measured process there")
    .option("--json", "the figures as JSON on standard output")
    .action(async (options: Options) => {
      code = await measure(options);
    })
    .parseAsync([...args], { from: "user" });
  return code;
}

async function measure(options: Options): Promise<number> {
  const members = Number(options.members);
  const namespace = `jiji-bench-${process.pid}`;
  await mustRun(["ip", "netns", "add", namespace]);
  try {
    await mustRun(["ip", "-n", namespace, "link", "set", "lo", "up"]);
    await addAddresses(namespace, members);
    // what the process costs by itself, with nobody to probe
    const alone = await subject(namespace, 1, options);
    const peers = Bun.spawn(inNamespace(namespace, "peers.ts", [String(members)]), {
      stdin: "pipe",
      stdout: "inherit",
      stderr: "inherit",
    });
    try {
      return report(alone, await subject(namespace, members, options), options);
    } finally {
      await peers.stdin.end();
      await peers.exited;
    }
  } finally {
    await run(["ip", "netns", "delete", namespace]);
  }
}

function inNamespace(
  namespace: string,
  script: string,
  args: readonly string[],
  bunArgs: readonly string[] = [],
): string[] {
  const enter = ["ip", "netns", "exec", namespace];
  return [...enter, process.execPath, "--no-env-file", ...bunArgs, join(import.meta.dir, script), ...args];
}

async function addAddresses(namespace: string, members: number): Promise<void> {
  const lines = Array.from({ length: members }, (_, n) => {
    const subnet = parseSubnetNumber(CLUSTER, n);
    if (subnet === undefined) throw new Error(`a mesh has no number ${n}`);
    return `address add ${serverAddress(CLUSTER, subnet)}/32 dev lo\n`;
  });
  await mustRun(["ip", "-n", namespace, "-batch", "-"], { input: lines.join("") });
}

async function subject(namespace: string, members: number, options: Options): Promise<Cost> {
  const isProfiled = options.profile !== undefined && members > 1;
  const profile = isProfiled ? ["--cpu-prof", `--cpu-prof-dir=${options.profile}`] : [];
  const argv = inNamespace(namespace, "subject.ts", [String(members), options.seconds], profile);
  return JSON.parse(await mustRun(argv)) as Cost;
}

function report(alone: Cost, probing: Cost, options: Options): number {
  const cpuPercent = Math.max(0, probing.cpuPercent - alone.cpuPercent);
  const kiloBytesPerSecond = probing.sentKiloBytesPerSecond + probing.receivedKiloBytesPerSecond;
  const isMet = cpuPercent <= BARS.cpuPercent && kiloBytesPerSecond <= BARS.kiloBytesPerSecond;
  if (options.json === true)
    console.log(JSON.stringify({ alone, probing, cpuPercent, kiloBytesPerSecond, isMet }, null, 2));
  else {
    const rows = [
      ["members that were heard", `${probing.heard} of ${probing.members - 1}`, ""],
      ["processor time, % of a core", cpuPercent.toFixed(2), BARS.cpuPercent.toFixed(2)],
      ["  of it in the program", (probing.userPercent - alone.userPercent).toFixed(2), ""],
      ["  the process with nobody to probe", alone.cpuPercent.toFixed(2), ""],
      ["kB a second, both ways", kiloBytesPerSecond.toFixed(1), String(BARS.kiloBytesPerSecond)],
      [
        "datagrams a second, out and in",
        `${probing.sentPerSecond.toFixed(0)} ${probing.receivedPerSecond.toFixed(0)}`,
        "",
      ],
      ["memory, MB", probing.memoryMegabytes.toFixed(0), ""],
    ];
    console.log(renderTable(["", "measured", "bar"], rows));
  }
  return isMet ? 0 : 1;
}
