import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { buildExecutable } from "../tools/build.ts";
import { findCorrosion, type CorrosionChoice } from "./corrosion-choice.ts";
import { seconds, Steps } from "./demo-steps.ts";
import { expectSuccess, jijiExecutable, runJiji, writeDeployFile } from "./jiji.ts";
import { keepLab, startLab, type Lab, type ServerRequest } from "./lab.ts";
import { leftBehind, machineSnapshot } from "./machine-snapshot.ts";
import { labImage } from "./server-image.ts";
import { diffSnapshots, snapshotServer, type ServerSnapshot } from "./snapshot.ts";
import { waitFor } from "./wait.ts";
import {
  addressesOf,
  fetchInContainer,
  removeContainer,
  startComposeProject,
  startWebContainer,
  stopComposeProject,
} from "./workload.ts";

/**
 * The whole product in one go, on real servers: three of them, one file, one command, and a page fetched by name across
 * the tunnel. Ends with exit 0 only when every step did what it says and nothing was left behind.
 */
const SERVERS: readonly ServerRequest[] = [
  { name: "web1", release: "trixie", engine: "docker" },
  { name: "home", release: "trixie", engine: "podman" },
  { name: "db1", release: "trixie", engine: "docker" },
];

const steps = new Steps();

function show(text: string): void {
  steps.show(text);
}

/** Runs jiji and lets the reader see the command and all that it says. */
async function jiji(lab: Lab, ...args: readonly string[]): Promise<void> {
  steps.showCommand(`jiji ${args.join(" ")}`);
  const result = await runJiji(lab, args, {
    onStdout: (chunk) => process.stdout.write(chunk),
    onStderr: (chunk) => process.stderr.write(chunk),
  });
  expectSuccess(result, `jiji ${args.join(" ")}`);
}

async function fetchByName(lab: Lab, from: string, name: string, text: string): Promise<void> {
  await waitFor(
    async () => {
      const page = await fetchInContainer(lab, from, name);
      return { done: page.stdout.trim() === text, seen: page.stdout + page.stderr };
    },
    { timeoutMs: 15_000, what: `${name} to answer “${text}” on ${from}` },
  );
  show(`a container on ${from} fetched http://${name}/ → “${text}”`);
}

async function tour(lab: Lab): Promise<void> {
  await steps.run("Start an HTTP service as a Compose project on web1, and one with plain labels on home", async () => {
    await startComposeProject(lab, "web1", "shop", "web", "hello from web1, Docker Compose");
    await startWebContainer(lab, "home", {
      name: "api",
      project: "shop",
      service: "api",
      text: "hello from home, Podman",
    });
  });
  await steps.run("Fetch both by name from containers on db1", async () => {
    await fetchByName(lab, "db1", "shop-web.jiji", "hello from web1, Docker Compose");
    await fetchByName(lab, "db1", "shop-api.jiji", "hello from home, Podman");
  });
  await steps.run("See the network", async () => {
    await jiji(lab, "network", "status");
    await jiji(lab, "network", "dns");
  });
  await steps.run("Stop the Compose project: its address leaves the answer", async () => {
    await stopComposeProject(lab, "web1", "shop");
    const begin = performance.now();
    await waitFor(
      async () => {
        const addresses = await addressesOf(lab, "db1", await serverDnsAddress(lab, "db1"), "shop-web.jiji");
        if (addresses.length > 0) throw new Error(addresses.join(" "));
        return true;
      },
      { timeoutMs: 10_000, what: "shop-web.jiji to have no address on db1" },
    );
    show(`gone from db1's answers after ${seconds(performance.now() - begin)}`);
  });
}

/** The server's own address in the cluster, as its WireGuard interface has it. */
async function serverDnsAddress(lab: Lab, server: string): Promise<string> {
  const result = expectSuccess(
    await lab.exec(server, ["ip", "-4", "-o", "address", "show", "dev", "jiji0"]),
    `${server}: jiji0`,
  );
  const address = /inet ([0-9.]+)/.exec(result.stdout)?.[1];
  if (address === undefined) throw new Error(`${server}: jiji0 has no address: ${result.stdout}`);
  return address;
}

async function teardown(lab: Lab, before: ReadonlyMap<string, ServerSnapshot>): Promise<void> {
  await steps.run("Tear down, and compare every server with before", async () => {
    await removeContainer(lab, "home", "api");
    await jiji(lab, "network", "teardown", "--yes");
    const left: string[] = [];
    await Promise.all(
      lab.servers.map(async ({ name }) => {
        const snapshot = before.get(name);
        if (snapshot === undefined) return;
        const differences = diffSnapshots(snapshot, await snapshotServer(lab, name));
        left.push(...differences.map((line) => `${name}: ${line}`));
      }),
    );
    if (left.length > 0) throw new Error(`teardown left something behind:\n${left.join("\n")}`);
    show("files, users, units, packet filters, routes and engine networks are as before");
  });
}

function storeOf(corrosion: CorrosionChoice): {
  readonly setup: readonly string[];
  readonly network?: Record<string, unknown>;
} {
  if (corrosion.kind === "binary") return { setup: ["--corrosion-binary", corrosion.path] };
  return { setup: [], network: { store: { embedded: "web1" } } };
}

interface DemoOptions {
  readonly keep: boolean;
  /** undefined: Corrosion where it can be had */
  readonly store: "embedded" | undefined;
}

async function chooseStore(choice: DemoOptions["store"]): Promise<CorrosionChoice> {
  if (choice === undefined) return steps.run("Find Corrosion", () => findCorrosion(show));
  show("the network runs on the embedded store, as asked");
  return { kind: "embedded" };
}

async function main({ keep, store: choice }: DemoOptions): Promise<void> {
  const machineBefore = await machineSnapshot();
  await steps.run("Build the executable", () => buildExecutable({ onProgress: show }));
  const corrosion = await chooseStore(choice);
  const lab = await steps.run("Bring up three servers", () => startLab({ servers: SERVERS, onProgress: show }));
  let finished = false;
  try {
    const before = new Map<string, ServerSnapshot>();
    await steps.run("Look at every server before jiji", async () => {
      await Promise.all(lab.servers.map(async ({ name }) => before.set(name, await snapshotServer(lab, name))));
    });
    await steps.run("Set the network up: one file, one command", async () => {
      const store = storeOf(corrosion);
      const folder = writeDeployFile(lab, {
        project: "shop",
        ...(store.network === undefined ? {} : { network: store.network }),
      });
      steps.showCommand("cat .jiji/deploy.yml");
      show(readFileSync(join(folder, ".jiji", "deploy.yml"), "utf8").trimEnd());
      await jiji(lab, "network", "setup", "--yes", ...store.setup);
    });
    await tour(lab);
    if (!keep) await teardown(lab, before);
    finished = true;
  } finally {
    if (!keep || !finished) await steps.run("Take the lab down", () => lab.down());
  }
  if (keep) {
    keepLab(lab.id);
    steps.summarize(`It works, and the lab stays up as ${lab.id}.`);
    console.error(`\nPlay on:\n${playOn(lab)}`);
    return;
  }
  const left = leftBehind(machineBefore, await machineSnapshot(), lab.id);
  if (left.length > 0) throw new Error(`the lab left something on this machine:\n${left.join("\n")}`);
  steps.summarize("All of it worked, and nothing was left behind.");
  console.error("\nTo play on:\n  npm run demo -- --keep\n  npm run lab -- exec web1 …");
}

function playOn(lab: Lab): string {
  const at = `npm run lab -- --id ${lab.id}`;
  return [
    `  ${at} exec web1 docker ps`,
    `  ${at} exec db1 docker run --rm --network jiji ${labImage} fetch shop-api.jiji`,
    `  ${at} operator ${jijiExecutable()} network status`,
    `  ${at} down`,
  ].join("\n");
}

const command = new Command("demo")
  .description("Sets up a real network of three servers on this machine, uses it, and takes it down again.")
  .option("--keep", "leave the network up at the end, to play with")
  .addOption(
    new Option("--store <kind>", "`embedded`: as if Corrosion could not be had").choices(["embedded"] as const),
  )
  .action(async (options: { keep?: true; store?: "embedded" }) => {
    try {
      await main({ keep: options.keep === true, store: options.store });
    } catch (error) {
      console.error(`\nerror: the demo failed: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
    }
  });

if (existsSync("/proc/self")) await command.parseAsync();
else console.error("error: the demo needs Linux; run it in a virtual machine with Debian");
